"""A small process between the supervisor and a worker: nothing that was started outlives it.

    supervisor -- socket --> guard (own session, subreaper) --> worker (own session) --> ...

It starts the worker, tells the supervisor how it ended, and kills the whole tree: when told to,
when the worker has ended but left something behind, and when the supervisor is gone, by whatever
signal. On Linux it is the subreaper of all below it: a double fork or a session of its own takes
nothing out of its reach. It runs as a plain file, without site-packages: it starts in some 15 ms.

Lines to the supervisor: `started PID`; `exited STATUS PEAK CPU ROOM TIME FILE`, as of os.wait4, the
peak RSS, the seconds of CPU time, and the limits (-1 without one) of the address space, of that
time and of a file; `child PID STATUS`, of one that the worker left unasked for, and that had ended
badly; `stuck PID`, of a process that SIGKILL has not ended; `quiet LEFT`, the number of processes
that a worker left behind. Lines from it: `reap GRACE`, the seconds between TERM and KILL; `keep`:
the worker may live on without a supervisor.

A thread in a disk wait (D) takes no SIGKILL before what it waits for comes, which a dead file
system never sends, nor does a frozen control group of the first version. It is left after a while.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import select
import shutil
import signal
import socket
import sys
import termios
import time
from collections.abc import Iterable

ORPHAN_GRACE = 2.0
"""Seconds the tree gets to end by itself when the supervisor is gone."""
LINGER_S = 1.0
"""So long what a worker leaves behind may take to end by itself, as Python's resource tracker does
once it has cleaned up."""
STUCK_S = 5.0
"""So long after its SIGKILL a process that does not move is left as it is."""
_SOON_S, _LATER_S = 0.002, 0.1
"""Between two looks at what is killed: first, and at most."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_PTRACER = 1, 36, 0x59616D61
# The soft limits; but the kernel itself raises that of CPU time.
_LIMITS = (resource.RLIMIT_AS, 0), (resource.RLIMIT_CPU, 1), (resource.RLIMIT_FSIZE, 0)
_IGNORED = signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE
_THREADS = 17
"""The place of the number of threads among a stat's fields after the name."""


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _spawn(command: list[str]) -> int:
    """Fork and exec. This interpreter has one thread and has never seen MLX: forking is safe."""
    # Loaded before the fork: between fork and exec nothing may take a lock.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    supervisor, guard = os.getppid(), os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 127
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for ignored in (*_IGNORED, signal.SIGXFSZ):  # Python itself ignores the last one
            signal.signal(ignored, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != guard:
                os._exit(127)  # it has died before that, and its death is told nobody any more
            # Where Yama restricts ptrace, the supervisor's stack tools may look at it all the same.
            libc.prctl(_PR_SET_PTRACER, supervisor, 0, 0, 0)
        _take_terminal()
        _execute(command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        code = 127 if isinstance(error, FileNotFoundError) else 126
    finally:  # whatever has happened: there must not be a second guard
        os._exit(code)


def _execute(command: list[str]) -> None:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        script = shutil.which(command[0])
        if error.errno != errno.ENOEXEC or script is None:
            raise
        # A script that names no interpreter: a shell and execvp(3) hand it to sh.
        os.execv("/bin/sh", ["/bin/sh", script, *command[1:]])


def _take_terminal() -> None:
    """Make the terminal that we were given, if it is nobody's yet, that of the new session."""
    for stream in (0, 1, 2):
        if os.isatty(stream):
            try:
                fcntl.ioctl(stream, termios.TIOCSCTTY, 0)
                return
            except OSError:  # it is the supervisor's own
                pass


def descendants(root: int) -> list[int]:
    """All processes below `root`, zombies left out."""
    return [pid for pid, ended in below(_parents(), root) if not ended]


def below(table: Iterable[tuple[int, int, bool]], root: int) -> list[tuple[int, bool]]:
    """The processes below `root`, and whether each has ended. Pure.

    `table` has of each process its parent, and whether it is a zombie.
    """
    children: dict[int, list[tuple[int, bool]]] = {}
    for pid, parent, ended in table:
        children.setdefault(parent, []).append((pid, ended))
    found, todo = [], [root]
    while todo:
        for pid, ended in children.get(todo.pop(), []):
            found.append((pid, ended))
            todo.append(pid)
    return found


class Calm:
    """True if nothing is left, by looks at a table that is not of one moment. Pure.

    While it is read, a process that is read already may get another parent, and one that is not
    may end: then what is below them is missing. That there is no child any more is certain, and
    nothing can be below us then, for what has lost its parent becomes our child.
    """

    def __init__(self) -> None:
        self._rest: set[int] = set()

    def look(self, left: Iterable[int], rest: Iterable[int], children: bool) -> bool:
        """`left`: the processes seen that are to end; `rest`: all others seen, zombies and those
        that may not be signalled; `children`: whether there are any, as the kernel says.

        Where it is certain that there are children, one of the rest seen twice explains them.
        """
        before, self._rest = self._rest, set(rest)
        if list(left):
            self._rest = set()
            return False
        return not children or bool(before & self._rest)


def _parents() -> list[tuple[int, int, bool]]:
    """The parent of each process, and True if it is a zombie. Linux reads /proc, others ask ps."""
    if sys.platform != "linux":
        import subprocess

        table = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True)
        rows = [line.split() for line in table.stdout.splitlines()]
        return [(int(row[0]), int(row[1]), row[2].startswith("Z")) for row in rows]
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # A zombie with other threads than its main one has not ended.
        ended = fields[0] in (b"Z", b"X") and int(fields[_THREADS]) <= 1
        found.append((int(name), int(fields[1]), ended))
    return found


class Stuck:
    """The processes that a SIGKILL cannot end: they are in D and use no CPU time. Pure."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[object, float]] = {}

    def look(self, marks: dict[int, object], now: float) -> set[int]:
        """`marks` has of each process in D that is killed what shows that it moves."""
        self._seen = {
            pid: self._seen[pid] if self._seen.get(pid, (None,))[0] == mark else (mark, now)
            for pid, mark in marks.items()
        }
        return {pid for pid, (_, since) in self._seen.items() if now - since >= STUCK_S}


def _in_kernel(pid: int) -> object:
    """The CPU times of the threads of a process that are left; None if one is not in D."""
    times = []
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if fields[0] not in (b"Z", b"X"):
                times.append((tid, *fields[11:13]))
            if fields[0] not in (b"D", b"Z", b"X"):
                return None
    except OSError:
        return None
    return tuple(times) or None


def _signal(pids: list[int], number: int) -> set[int]:
    """Send it to all; returns those that may not be signalled, as what sudo has started."""
    beyond = set()
    for pid in pids:
        try:
            os.kill(pid, number)
        except PermissionError:
            beyond.add(pid)
        except OSError:
            pass
    return beyond


class Guard:
    def __init__(self, channel: socket.socket, command: list[str]) -> None:
        self._channel = channel
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.alone = False
        """True if the supervisor has gone, or has no more use for us."""
        self._kept = False
        self._reap_at: float | None = None
        self._left = 0
        self._lingers_until = 0.0
        self._childless = False
        """True if the kernel has said so: that none is left is certain."""
        self._calm = Calm()
        self._beyond: set[int] = set()
        """The processes that are left, and may not be signalled by us, or do not end by that."""
        self._stuck = Stuck()
        self._pause = _SOON_S
        self._before: list[int] = []
        self._worker = _spawn(command)
        self._status: int | None = None
        # The worker has its own copies now; ours would keep the pipes open after it.
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        self._tell(f"started {self._worker}")

    def _tell(self, line: str) -> None:
        try:
            self._channel.sendall(line.encode() + b"\n")
        except OSError:
            self._orphaned()

    def _orphaned(self) -> None:
        """The supervisor has gone, whether it was reading or we were writing."""
        self.alone = True
        if not self._kept:
            self._reap(ORPHAN_GRACE)

    def run(self) -> None:
        """Until the worker and everything below it are gone."""
        while True:
            self._collect()
            left = self._look() if self._ending() else []
            if left is None:
                self._tell(f"quiet {self._left}")
                return
            if self._status is not None and time.monotonic() >= self._lingers_until:
                self._end_what_is_left()
            if left and self._reap_at is not None and time.monotonic() >= self._reap_at:
                self._kill(left)
            else:
                self._wait(self._patience(left))

    def _kill(self, left: list[int]) -> None:
        """Send SIGKILL, and wait a little: longer and longer while the same are left."""
        self._beyond |= _signal(left, signal.SIGKILL)
        marks = {pid: mark for pid in left if (mark := _in_kernel(pid)) is not None}
        for pid in self._stuck.look(marks, time.monotonic()) - self._beyond:
            self._beyond.add(pid)
            self._tell(f"stuck {pid}")
        same, self._before = left == self._before, left
        self._pause = min(_LATER_S, 1.2 * self._pause) if same else _SOON_S
        self._wait(self._pause)

    def _end_what_is_left(self) -> None:
        if self._reap_at is None:
            self._left = len(descendants(os.getpid()))
        self._reap(0.0)

    def _look(self) -> list[int] | None:
        """The processes that are left and to end; None once there are none for sure."""
        tree = [] if self._childless else below(_parents(), os.getpid())
        left = [pid for pid, ended in tree if not ended and pid not in self._beyond]
        rest = {pid for pid, _ in tree}.difference(left)
        # Elsewhere, what has lost its parent is nobody's child here, and the table is all there is.
        children = sys.platform == "linux" and not self._childless
        calm = self._calm.look(left, rest, children)
        # A worker that has just died is no descendant any more, and not yet waited for.
        over = self._status is not None or self._worker in self._beyond
        return None if calm and over else left

    def _ending(self) -> bool:
        return self._status is not None or self._reap_at is not None

    def _patience(self, left: list[int]) -> float | None:
        if not self._ending():
            return None
        # Of what has just ended, and of what no look has shown, the next look tells.
        until = self._lingers_until if self._reap_at is None else self._reap_at
        return min(0.02, max(0.0, until - time.monotonic())) if left else 0.02

    def _collect(self) -> None:
        """Wait for every child that has ended: the worker, and orphans that became ours."""
        bad, exited = [], ""
        while True:
            limits = self._limits()
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                break
            if pid == self._worker:
                self._status = status
                peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                exited = f"exited {status} {peak} {usage.ru_utime + usage.ru_stime} {limits}"
                self._lingers_until = time.monotonic() + LINGER_S
            elif pid == 0:
                break
            elif status and self._reap_at is None:
                bad.append(f"child {pid} {status}")
        if exited:  # what was dead by then has become ours at that moment
            self._tell("\n".join([*bad, exited]))

    def _limits(self) -> str:
        """The worker's limits; while it is a zombie they can still be asked for."""
        try:
            return " ".join(str(resource.prlimit(self._worker, one)[i]) for one, i in _LIMITS)
        except (OSError, AttributeError):  # macOS has no such call
            return "-1 -1 -1"

    def _wait(self, seconds: float | None) -> None:
        sources: list[int | socket.socket] = [self._woken]
        if not self.alone:
            sources.append(self._channel)
        ready = select.select(sources, [], [], seconds)[0]
        if self._woken in ready:
            os.read(self._woken, 4096)
        if self._channel in ready:
            self._listen()

    def _listen(self) -> None:
        try:
            data = self._channel.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._orphaned()
            return
        for line in data.decode().splitlines():
            verb, _, value = line.partition(" ")
            self._kept |= verb == "keep"
            if verb == "reap":
                self._reap(float(value))

    def _reap(self, grace: float) -> None:
        """TERM now, KILL after `grace` seconds; a later call can only shorten it."""
        until = time.monotonic() + grace
        if self._reap_at is None:
            self._reap_at, tree = until, descendants(os.getpid())
            _signal(tree, signal.SIGTERM)
            # A stopped process takes its TERM only when it is continued.
            _signal(tree, signal.SIGCONT)
        self._reap_at = min(self._reap_at, until)


def main() -> None:
    files = [int(word) for word in sys.argv[1].split(",")]
    for file in files:
        os.set_inheritable(file, False)
    # The others are held for the worker: a terminal that closes would end one that is kept.
    channel = socket.socket(fileno=files[0])
    for ignored in _IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    guard = Guard(channel, sys.argv[3:])
    guard.run()
    if guard.alone:
        # Otherwise it is the supervisor's, who wants what was compiled.
        shutil.rmtree(sys.argv[2], ignore_errors=True)
    # The supervisor waits for our end, and an interpreter's takes longer than all of a small run's.
    os._exit(0)


if __name__ == "__main__":
    main()
