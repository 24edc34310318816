"""`harness attach` on real processes, started by hand: the right answer, and no harm done."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import forked
import msgspec
import pytest

from harness.attach import observe
from harness.beats import record
from harness.beats.file import read_position
from harness.model import Settings, WorkerSpec
from harness.scenario import load
from harness.stacks import tools

ROOT = Path(__file__).parents[2]
VICTIM = ROOT / "tests" / "victims" / "stacks_hangs.py"
PATIENCE_S = 90.0
"""How long a victim may take to get where it is looked at, and there be seen; a busy machine."""
SECRET = "hunter2-of-the-command-line"

pytestmark = [pytest.mark.waits, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


@contextlib.contextmanager
def started(*command, **options) -> Iterator[subprocess.Popen]:
    """A process in a group of its own, which ends with the test.

    One thread computes as long as two, and leaves a core to the other tests.
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True,
             "env": environment, **options}  # fmt: skip
    with subprocess.Popen([*map(str, command)], start_new_session=True, **given) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def victim(*arguments, **options):
    return started(sys.executable, VICTIM, *arguments, **options)


class Control:
    """A control's worker, started without a supervisor."""

    def __init__(self, name: str, folder: Path, **settings) -> None:
        (info,) = load.find([name])
        self.folder = folder
        folder.mkdir(exist_ok=True)
        spec = WorkerSpec(
            scenario=name,
            path=info.path,
            folder=str(folder),
            settings=msgspec.structs.replace(load.apply(Settings(), info), **settings),
        )
        self.spec = folder / "spec.json"
        self.spec.write_bytes(msgspec.json.encode(spec))

    @contextlib.contextmanager
    def start(self):
        command = (sys.executable, "-m", "harness.worker", self.spec)
        with (
            (self.folder / "out").open("w") as out,
            started(*command, cwd=ROOT, stdout=out) as process,
        ):
            yield process

    def reach(self, process, step: int, phase: str = "") -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and process.poll() is None:
            at = read_position(self.folder)
            if at is not None and at.step >= step and phase in ("", at.phase):
                return
            time.sleep(0.02)
        raise AssertionError("it never came there")

    def losses(self, process) -> list[float]:
        assert process.wait(PATIENCE_S) == 0
        return list(record.load(self.folder).loss)


def attach(*arguments, out: Path, through=(), seconds=2.5) -> tuple[int, dict, str]:
    """Exit code, what was found, and what was printed for people."""
    words = ["attach", *map(str, arguments), "--json", "--out", str(out), "--for", str(seconds)]
    if through:
        command = [*through, sys.executable, "-m", "harness", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    else:
        done = forked.harness(*words, folder=ROOT)
    if done.returncode not in (0, 1):
        return done.returncode, {}, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    (found,) = (one for one in result["findings"] if one["code"] == "attached")
    return done.returncode, {**found["evidence"], "result": result}, done.stderr


def settle(process: int | str, out: Path, *answers: str, **options) -> tuple[int, dict, str]:
    """Ask until the answer is one of these: a victim may be slow to come to rest.

    `process`: its number, or a part of its command line.
    """
    named = ("--name", process) if isinstance(process, str) else (process,)
    end = time.monotonic() + PATIENCE_S
    while True:
        code, found, shown = attach(*named, out=out, **options)
        if found.get("answer") in answers or time.monotonic() > end:
            assert found.get("answer") in answers, (found, shown)
            return code, found, shown


# A worker's handler for SIGUSR1 writes its stacks, and ends no wait. Who sends the signal that a
# program waits for, nobody can see.
HUNG = {
    "fork_deadlock": ("deadlock", 1),
    "two_locks": ("deadlock", 1),
    "gil_held": ("deadlock", 1),
    "own_peer_skips_collective": ("waiting", 1),
    "loader_never_yields": ("waiting", 0),
    "child_never_ends": ("waiting", 0),
    "compiler_never_returns": ("waiting", 0),
    "livelock": ("spinning", 1),
    "native_spin": ("spinning", 1),
}
NEEDS = {"compiler_never_returns": "g++"}


@pytest.mark.parametrize("name", HUNG)
def test_a_control_that_hangs_is_told(tmp_path, name):
    if name in NEEDS and shutil.which(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    control = Control(name, tmp_path / "run")
    with control.start() as process:
        control.reach(process, 3)
        answer, wanted = HUNG[name]
        code, found, _ = settle(process.pid, tmp_path / "out", answer)
        assert code == wanted
        assert found["result"]["outcome"] == ("hung" if wanted else "unfinished")
        assert process.poll() is None
        assert list((tmp_path / "out").glob("*/*/0/stacks/*.txt"))


def test_one_that_is_stopped_is_told_and_goes_on_afterwards(tmp_path):
    control = Control("stopped_by_signal", tmp_path / "run")
    with control.start() as process:
        control.reach(process, 3)
        code, found, _ = settle(process.pid, tmp_path / "out", "stopped")
        assert (code, found["result"]["cause"]["code"]) == (1, "stopped")
        os.kill(process.pid, signal.SIGCONT)
        assert len(control.losses(process)) == 10


HEALTHY = {
    "one_slow_step": (5, "", ("alive",)),
    "long_validation": (5, "validate", ("alive",)),
    "sleeping_loader": (4, "data", ("asleep", "alive")),
}


@pytest.mark.parametrize(
    "name",
    ["one_slow_step"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("long_validation", "sleeping_loader")
    ],
)
def test_a_healthy_control_is_alive_and_gives_the_same_results(tmp_path, name):
    step, phase, answers = HEALTHY[name]
    # What happens in a step of the control changes no loss.
    control, twin = Control(name, tmp_path / "run"), Control("baseline_update", tmp_path / "twin")
    with control.start() as process, twin.start() as other:
        control.reach(process, step, phase)
        code, found, shown = attach(process.pid, out=tmp_path / "out")
        # A machine that is slow enough starts to look only after the event.
        over = process.poll() is not None
        assert over or found["answer"] in answers, shown
        assert over or code == 0
        assert control.losses(process) == twin.losses(other)


@pytest.mark.slow
def test_a_trainer_that_is_looked_at_all_the_time_gives_the_same_results(tmp_path):
    settings = {"steps": 400}
    control = Control("baseline_update", tmp_path / "run", **settings)
    twin = Control("baseline_update", tmp_path / "twin", **settings)
    with control.start() as process, twin.start() as other:
        control.reach(process, 5)
        answers = set()
        while process.poll() is None:
            _, found, _ = attach(process.pid, out=tmp_path / "out", seconds=1.0)
            answers.add(found.get("answer", "ended"))
        assert answers <= {"alive", "ended"}
        assert control.losses(process) == twin.losses(other)


def test_a_flood_into_a_slow_pipe_is_alive_and_into_one_that_nobody_reads_is_not(tmp_path):
    code = "import sys\nwhile True: sys.stdout.write('x' * 999)"
    reads = "import sys, time\nwhile sys.stdin.read(50_000): time.sleep(0.05)"
    with started(sys.executable, "-c", code) as flood:
        told = settle(flood.pid, tmp_path / "out", "waiting")
        assert "pipe" in told[1]["summary"]
        assert str(os.getpid()) in told[1]["summary"]
        with started(sys.executable, "-c", reads, stdin=flood.stdout):
            assert settle(flood.pid, tmp_path / "out", "alive")[0] == 0


VICTIMS = {
    "sleeps": ("asleep", 0),
    "process_queue": ("deadlock", 1),
    "receives": ("deadlock", 1),
    "accepts": ("waiting", 0),
    "healthy": ("alive", 0),
}


@pytest.mark.parametrize("name", VICTIMS)
def test_a_victim_is_told(tmp_path, name):
    answer, code = VICTIMS[name]
    with victim(name) as process:
        process.stdout.readline()
        assert settle(process.pid, tmp_path / "out", answer)[0] == code


def test_it_counts_on_while_it_is_looked_at(tmp_path):
    with victim("counts", "4000") as process:
        process.stdout.readline()
        attach(process.pid, out=tmp_path / "out")
        assert int(process.stdout.read()) == sum(range(4000))


def test_the_ranks_of_a_launcher_are_told_the_odd_one_out_first(tmp_path):
    launcher = (
        "import subprocess, sys\n"
        "ranks = [subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE)\n"
        "         for _ in range(3)]\n"
        "[rank.stdout.readline() for rank in ranks]\n"
        "print(*[rank.pid for rank in ranks], flush=True)\n"
        "[rank.wait() for rank in ranks]\n"
    )
    with started(sys.executable, "-c", launcher, VICTIM, "empty_queue") as process:
        ranks = [int(word) for word in process.stdout.readline().split()]
        os.kill(ranks[1], signal.SIGSTOP)
        _, found, _ = settle(process.pid, tmp_path / "out", "stopped", "deadlock")
        assert {one["pid"] for one in found["processes"]} == {process.pid, *ranks}
        assert found["processes"][0]["pid"] == found["decided_by"]
        by_pid = {one["pid"]: one["answer"] for one in found["processes"]}
        assert by_pid[ranks[1]] == "stopped"
        assert by_pid[ranks[0]] == by_pid[ranks[2]] == "deadlock"


def test_it_is_found_by_name_and_its_arguments_are_told_nowhere(tmp_path):
    script = tmp_path / "train_of_the_test.py"
    script.write_text("import threading; print('up', flush=True); threading.Event().wait()")
    with started(sys.executable, script, SECRET, env={**os.environ, "KEY": SECRET}) as process:
        process.stdout.readline()
        code, found, shown = settle("train_of_the_test", tmp_path / "out", "deadlock")
        assert (code, found["pid"]) == (1, process.pid)
        assert "train_of_the_test.py ..." in shown
        assert SECRET not in shown
        for file in (tmp_path / "out").rglob("*"):
            assert not file.is_file() or SECRET not in file.read_text(errors="replace"), file
        with started(sys.executable, script, "second") as other:
            other.stdout.readline()
            code, _, shown = attach("--name", "train_of_the_test", out=tmp_path / "out")
            assert code == 2
            assert str(process.pid) in shown
            assert str(other.pid) in shown
            assert SECRET not in shown


def test_a_report_can_be_made_anew(tmp_path):
    with victim("locks") as process:
        process.stdout.readline()
        settle(process.pid, tmp_path, "deadlock")
    folder = min(tmp_path.iterdir())
    before = (folder / "report.md").read_text()
    (folder / "report.md").unlink()
    assert forked.harness("report", folder, folder=ROOT).returncode == 0
    assert (folder / "report.md").read_text() == before
    assert "Answer: " in before


def test_what_cannot_be_looked_at_is_one_line(tmp_path):
    with started("true") as gone:
        gone.wait()
    for pid, words in ((gone.pid, "no process"), (os.getpid(), "has started it")):
        code, _, shown = attach(pid, out=tmp_path / "out")
        assert code == 2
        assert words in shown
        assert shown.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    shutil.which("capsh") is None or os.geteuid() != 0, reason="needs root, and capsh"
)
@pytest.mark.parametrize(
    ("code", "answer"), [("threading.Event().wait()", "stalled"), ("exec('while 1: 0')", "alive")]
)
def test_without_a_debuggers_rights_it_still_answers(tmp_path, code, answer):
    hides = "import ctypes, threading; ctypes.CDLL(None).prctl(4, 0); print('up', flush=True); "
    drop = ("capsh", "--drop=cap_sys_ptrace", "--", "-c", 'exec "$@"', "sh")
    with started(sys.executable, "-c", hides + code) as process:
        process.stdout.readline()
        _, found, _ = settle(process.pid, tmp_path / "out", answer, through=drop)
        assert found["not_read"]


def test_no_signal_is_sent_unless_asked_for(tmp_path):
    log = tmp_path / "signals"
    code = (
        "import signal, sys, time\n"
        "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(number, lambda got, _: open(sys.argv[1], 'a').write(f'{got} '))\n"
        "print('up', flush=True)\n"
        "while True: time.sleep(600)\n"
    )
    with started(sys.executable, "-c", code, log) as process:
        process.stdout.readline()
        attach(process.pid, out=tmp_path / "out")
        assert process.poll() is None
    assert not log.exists()


def test_the_faulthandler_is_asked_only_when_that_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "TOOLS", ())
    log = tmp_path / "faulthandler.txt"
    with victim("sleeps", env={**os.environ, "STACKS_FAULTHANDLER": str(log)}) as process:
        process.stdout.readline()
        watched = observe.watch(process.pid, 1.0, tmp_path / "silent")
        assert log.read_text() == ""
        assert any("stacks" in told for told in watched.not_read)
        watched = observe.watch(process.pid, 1.0, tmp_path / "asked", may_signal=True)
        assert watched.captures[process.pid][0].tool == "faulthandler"
        assert "in sleeps" in log.read_text()
        assert process.poll() is None


def test_one_without_a_handler_is_never_signaled(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "TOOLS", ())
    log = (tmp_path / "faulthandler.txt").open("w")  # open, and no handler writes to it
    with log, victim("sleeps", stderr=log) as process:
        process.stdout.readline()
        watched = observe.watch(process.pid, 1.0, tmp_path / "asked", may_signal=True)
        assert watched.captures[process.pid][0].tool is None
        assert process.poll() is None


def test_a_write_that_is_blocked_goes_on_whole(tmp_path):
    """To stop the process would make it return what fitted into the pipe, and lose the rest."""
    code = "import os; r, w = os.pipe(); print('wrote', os.write(w, bytes(10**6)), flush=True)"
    with started(sys.executable, "-c", code) as process:
        code, found, shown = settle(process.pid, tmp_path / "out", "deadlock")
        assert code == 1
        assert "waits for room in a pipe" in found["processes"][0]["summary"]
        assert "<module>" in found["processes"][0]["wait_site"]
        assert "native frames" in shown
        assert process.poll() is None
        reader = next(
            file
            for file in Path(f"/proc/{process.pid}/fd").iterdir()
            if str(file.readlink()).startswith("pipe:") and int(file.name) > 2
        )
        with reader.open("rb") as pipe:
            assert len(pipe.read(10**6)) == 10**6
        assert process.communicate(timeout=PATIENCE_S)[0] == "wrote 1000000\n"


def test_a_pipe_that_nobody_writes_to_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with started("cat", "fifo", cwd=tmp_path) as process:
        code, found, _ = settle(process.pid, tmp_path / "out", "waiting")
        (one,) = found["processes"]
        assert "waits for the pipe fifo, which nobody has open for writing" in one["summary"]
        assert "running" not in json.dumps(found)
        assert code == 0


def test_a_connection_of_a_process_with_itself_has_no_other_end(tmp_path):
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "c = socket.create_connection(s.getsockname()); a, _ = s.accept(); "
        "print('here', flush=True); c.recv(1)"
    )
    with started(sys.executable, "-c", code) as process:
        process.stdout.readline()
        code, found, _ = settle(process.pid, tmp_path / "out", "stalled")
        assert code == 1
        assert "which nobody else has open" in found["processes"][0]["summary"]


def test_of_what_ends_meanwhile_nothing_is_said_of_rights(tmp_path):
    with started("sleep", "600") as process:
        looking = subprocess.Popen(
            [sys.executable, "-m", "harness", "attach", str(process.pid), "--for", "2",
             "--out", str(tmp_path / "out")],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert "observing" in looking.stderr.readline()
        process.kill()
        process.wait()
        shown = looking.communicate(timeout=PATIENCE_S)[1]
        assert looking.returncode == 0
        assert ": ended" in shown
        assert "rights" not in shown


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_names_no_process(tmp_path, name):
    code, _, told = attach("--name", name, out=tmp_path / "out")
    assert code == 2
    assert "has an empty one" in told


def test_a_thread_of_the_kernel_is_refused(tmp_path):
    flags = Path("/proc/2/stat")
    if not flags.exists() or not int(flags.read_text().rpartition(")")[2].split()[6]) & 0x200000:
        pytest.skip("no thread of the kernel is to be seen here")
    code, _, told = attach(2, out=tmp_path / "out")
    assert code == 2
    assert "another user" in told if os.geteuid() else "thread of the kernel" in told
