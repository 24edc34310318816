"""Starting a worker: its folders, its environment, its guard, its drained output."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path

import msgspec
import psutil

from harness.model import Process, WorkerSpec
from harness.model.death import Limits
from harness.model.settings import Interpreter
from harness.observe import processes
from harness.supervise import guard, kernel_cache, line_buffering
from harness.supervise.guarding.tree import MARK, STUCK_S
from harness.supervise.streams import Ends, Relay, captured
from harness.text.exits import signal_name as signal_name

FAULTHANDLER = "faulthandler.txt"
"""The file for the stacks that a worker's interpreter writes when SIGUSR1 asks it to."""
_STAND_STILL_S = 1.0
"""The longest time to wait until a process stops, in seconds: a thread in a disk wait stops after
that."""
SPEC = "spec.json"
"""The file with the WorkerSpec of a worker of this machine."""


class Launched:
    """A process under its guard. The guard kills the whole tree when this process goes away."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] = os.environ,
        ends: Ends | None = None,
        hear: Sequence[Callable[[bytes], None]] = (),
        temporary: Path | None = None,
        core: int | None = None,
    ) -> None:
        """Start `command`. Its outputs go to logs in `folder`, and to `hear`, one for each.

        Without `ends` nobody sees them, and it has nothing to read. The folder `temporary` is
        deleted when it has ended. `core` is the most bytes of a core that it may leave, as it is
        for us if not given. Raises OSError when no process can be started.
        """
        self.temporary = temporary
        self._mark = str(folder)
        ends = ends or captured()
        ours, theirs = socket.socketpair()
        handed = [theirs.fileno(), *ends.held]
        try:
            self._guard = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", guard.__file__),
                    *(",".join(map(str, handed)), str(temporary or "")),
                    str(-1 if core is None else core),
                    *command,
                ],
                stdin=ends.stdin,
                stdout=ends.stdout,
                stderr=ends.stderr,
                env={**environment, MARK: self._mark},
                pass_fds=handed,
                start_new_session=True,
            )
        finally:
            theirs.close()
            for end in {ends.stdin, ends.stdout, ends.stderr}:
                if end > 2:  # our own, or none at all
                    os.close(end)
        listeners = chain(hear, repeat(lambda data: None))
        try:
            self._relays = [
                Relay(output, folder, listener)
                for output, listener in zip(ends.outputs, listeners, strict=False)
            ]
        except OSError:
            ours.close()  # the guard ends what it has started
            self._guard.wait()
            raise
        ours.setblocking(False)
        self.channel = ours
        self._rest = b""
        self.pid: int | None = None
        self._worker: psutil.Process | None = None
        self.status: int | None = None
        self.rss_peak: int | None = None
        self.cpu_s = 0.0
        self.limits = Limits()
        self.bad_children: tuple[tuple[int, int], ...] = ()
        """Process and status of each child that had ended badly, and was not asked for."""
        self.left_behind = 0
        self.not_ended: tuple[int, ...] = ()
        """Processes that no signal ends, left as they are."""
        self.quiet = False
        self.kept = False

    @property
    def guard_pid(self) -> int:
        return self._guard.pid

    def listen(self) -> None:
        """Take in what the guard has said; never blocks."""
        while not self.quiet:
            try:
                data = self.channel.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                # The guard never leaves without a word, unless something killed it.
                self._end_abandoned()
                self.quiet = True
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._heard(line.decode().split())

    def _heard(self, words: list[str]) -> None:
        if words[0] == "started":
            self.pid = int(words[1])
            with contextlib.suppress(psutil.Error):
                self._worker = psutil.Process(self.pid)
        elif words[0] == "exited":
            self.status, self.rss_peak, self.cpu_s = int(words[1]), int(words[2]), float(words[3])
            space, cpu_s, file = (int(word) if int(word) >= 0 else None for word in words[4:])
            self.limits = Limits(address_space=space, cpu_s=cpu_s, file=file)
        elif words[0] == "child":
            self.bad_children += ((int(words[1]), int(words[2])),)
        elif words[0] == "stuck":
            self.not_ended += (int(words[1]),)
        elif words[0] == "quiet":
            self.left_behind, self.quiet = int(words[1]), True

    def reap(self, grace: float) -> None:
        """TERM the whole tree now, KILL what is left after `grace` seconds."""
        with contextlib.suppress(OSError):
            self.channel.send(f"reap {grace}\n".encode())
            # One that somebody stopped could not hear us.
            os.kill(self._guard.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop it and its process group, and return once they stand still, or after a moment.

        A process that forks while both SIGSTOP and SIGCONT come goes on, but its child is stopped
        (Linux): so it must not be continued before the fork is over.
        """
        pid = self.pid
        if pid is None:
            return
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGSTOP)
        end = time.monotonic() + _STAND_STILL_S
        while time.monotonic() < end and any(
            _moves(one) and _group(one.pid) == pid
            for one in processes.processes(pid, also=[self.guard_pid])
        ):
            time.sleep(0.005)

    def keep(self) -> None:
        """Let it live on without us, under its guard; for us it is over."""
        with contextlib.suppress(OSError):
            self.channel.send(b"keep\n")
        self.kept = self.quiet = True

    def _end_abandoned(self) -> None:
        """The guard was killed: end all that it held.

        They are the worker and what is below it, and all that have a variable which it was given.
        On Linux the worker itself dies with its guard.
        """
        end = time.monotonic() + STUCK_S
        # What is killed may have started something in between.
        while found := {*self._below(), *filter(self._is_ours, psutil.process_iter())}:
            if time.monotonic() > end:
                self.not_ended = tuple(process.pid for process in found)
                break
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(found, timeout=1.0)

    def _below(self) -> list[psutil.Process]:
        """The worker and its descendants, as long as it runs: not one that has its pid later."""
        try:
            if self._worker is None or not self._worker.is_running():
                return []
            found = [self._worker, *self._worker.children(recursive=True)]
        except psutil.Error:
            return []
        return [process for process in found if _runs(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark
        except (psutil.Error, OSError):
            return False

    def close(self, keep_kernels: bool) -> None:
        """Call once quiet: waits for the last output, keeps or drops what was compiled."""
        if self.kept:
            self.channel.close()
            return
        self._guard.wait()
        self.channel.close()
        for relay in self._relays:
            # What does not end has the output open, and writes nothing.
            relay.finish(leave=bool(self.not_ended))
        if self.temporary is not None:
            if keep_kernels:
                kernel_cache.keep(self.temporary, kernel_cache.store())
            shutil.rmtree(self.temporary, ignore_errors=True)

    @property
    def exit_code(self) -> int | None:
        if self.status is None or os.WIFSIGNALED(self.status):
            return None
        return os.waitstatus_to_exitcode(self.status)

    @property
    def signal(self) -> str | None:
        """Name of the signal that ended the worker."""
        if self.status is None or not os.WIFSIGNALED(self.status):
            return None
        return signal_name(os.WTERMSIG(self.status))

    @property
    def how_it_ended(self) -> str:
        """A clause about the end that came while it was looked at."""
        if self.signal is not None:
            return f"it was then killed by {self.signal}"
        if self.exit_code is not None:
            return f"it then exited with code {self.exit_code}"
        if self.not_ended:
            return "its guard was killed, and it could not be ended"
        return "then its guard was killed, and it ended with it"


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _moves(process: Process) -> bool:
    states = {process.state, *(thread.state for thread in process.threads)}
    return not states <= set("TtZX")


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:  # it has just gone
        return None


def line_by_line(environment: dict[str, str], program: str) -> bool:
    """Add to `environment` what lets a command pass each line on at once.

    `program` is what is started, if its output goes into a pipe. True if that is no Python and can
    be made to do so. What a program would keep in its buffer while it hangs is the step that it
    hangs in.
    """
    environment.setdefault("PYTHONUNBUFFERED", "1")
    made = line_buffering.variables(program, environment) if program else {}
    environment |= made
    return bool(made)


def boot(module: str, *arguments: str, interpreter: Interpreter | None = None) -> list[str]:
    """The command that runs `main` of a module of our own package, by `interpreter` or our own.

    Whatever a folder named `harness` in the current directory holds.
    """
    python, package, libraries = sys.executable, str(Path(__file__).resolve().parents[2]), ""
    if interpreter is not None:
        # Ours would bring all that is installed beside it, for another Python.
        python, package = interpreter.python, interpreter.package
        if interpreter.libraries:
            libraries = f"sys.path.append({interpreter.libraries!r}); "
    code = (
        # With -P or PYTHONSAFEPATH the current directory is not there to be replaced.
        "import sys; sys.path[: not sys.path[0]] = [sys.argv.pop(1)]; "
        f"{libraries}from {module} import main; sys.exit(main(sys.argv))"
    )
    return [python, "-c", code, package, *arguments]


def environment(interpreter: Interpreter | None) -> dict[str, str]:
    """The environment variables of this process, as `interpreter` needs them."""
    if interpreter is None:
        return dict(os.environ)
    # These two tell a Python that it is another one.
    other = ("PYTHONHOME", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in other}
    return kept | interpreter.variables


def worker(
    spec: WorkerSpec,
    cold: bool = False,
    command: Sequence[str] = (),
    ends: Ends | None = None,
    hear: Sequence[Callable[[bytes], None]] = (),
    variables: Mapping[str, str] | None = None,
) -> Launched:
    """Start the worker of `spec`, whose folder exists; by `command` where a launcher starts it."""
    folder = Path(spec.folder)
    file = folder / SPEC
    file.write_bytes(msgspec.json.encode(spec))
    temporary = Path(tempfile.mkdtemp(prefix="harness-"))
    if not cold:
        kernel_cache.lend(kernel_cache.store(), temporary)
    return Launched(
        command or boot("harness.worker", str(file), interpreter=spec.interpreter),
        folder,
        {
            **environment(spec.interpreter),
            **(variables or {}),
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
        },
        ends=ends,
        hear=hear,
        temporary=temporary,
    )
