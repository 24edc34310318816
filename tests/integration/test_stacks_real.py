"""Stack tools on real processes that really hang, and tools that misbehave."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.observe import gpu, linux, run_tool
from harness.stacks import capture, tools, wait_site
from harness.stacks.capture import StackCapture
from harness.stacks.tools import Tool

VICTIM = Path(__file__).parents[1] / "victims" / "stacks_hangs.py"
TRANSFERS = VICTIM.with_name("blocked_transfers.py")
PATIENCE_S = 60.0
"""How long a victim may take to get where it hangs; generous, for a busy machine."""

MOST = (3000, 12_000, 48_000)
"""What a victim counts to, some 1 ms each: one after another, until it has been looked at."""

PYSTACK, PY_SPY, NONBLOCKING, GDB = (
    next(tool for tool in tools.TOOLS if tool.name == name)
    for name in ("pystack", "py-spy", "py-spy-nonblocking", "gdb")
)
pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(sys.platform != "linux", reason="the tools of Linux"),
]


@pytest.fixture(scope="module")
def works() -> Callable[[Tool], None]:
    """Skips the test when a tool cannot be used here, with the reason that `doctor` gives."""
    status = {one.name: one for one in tools.available()}

    def check(tool: Tool) -> None:
        if not status[tool.name].ok:
            pytest.skip(f"{tool.name}: {status[tool.name].reason}")

    return check


class Victim:
    """A process of `stacks_hangs.py`; `pid` is the one to look at, which may be its child."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.pid = int(process.stdout.readline())

    def rest(self) -> str:
        """What it still prints until it ends."""
        assert self.process.stdout is not None
        return self.process.stdout.read()


@contextlib.contextmanager
def victim(*arguments: str, **environment: str) -> Iterator[Victim]:
    with subprocess.Popen(
        [sys.executable, str(VICTIM), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield Victim(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def settle(pid: int, tool: Tool, folder: Path, *categories: str) -> StackCapture:
    """Look until the victim is where it hangs: it announces itself just before."""
    end = time.monotonic() + PATIENCE_S
    while True:
        seen = capture.capture(pid, folder, [tool], timeout=PATIENCE_S)
        waits = wait_site.explain(seen.threads)
        if waits is not None and waits.overall.category.value in categories:
            return seen
        if time.monotonic() > end:
            pytest.fail(f"not {categories}: {waits and waits.overall}, {seen.attempts}")
        time.sleep(0.1)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


CATEGORIES = {
    # py-spy sees the threads of Python alone: of a ring only the main one, which waits for it.
    "fork_deadlock": {"": "stream_evaluation"},
    "ring": {"": "collective", "py-spy": "stream_evaluation"},
    "locks": {"": "lock"},
    "mutex": {"": "lock"},
    "gil": {"": "gil"},
    "child": {"": "child"},
    "receives": {"": "io"},
    "sleeps": {"": "sleep"},
    "jit": {"": "jit"},
    "spins": {"": "running"},
    "spins_native": {"": "running"},
    # gdb does not see the queue, only the lock or the pipe in it.
    "empty_queue": {"": "queue", "gdb": "lock"},
    "process_queue": {"": "queue", "gdb": "io"},
}


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> list[Tool]:
    """The tools that read a process here."""
    folder = tmp_path_factory.mktemp("answers")
    with victim("sleeps") as it:
        others = [
            tool
            for tool in (PY_SPY, GDB)
            if shutil.which(tool.command[0]) is not None
            and capture.capture(it.pid, folder, [tool], timeout=PATIENCE_S).tool
        ]
    return [PYSTACK, *others]


@pytest.mark.parametrize("hang", CATEGORIES)
def test_each_tool_names_the_wait_site(
    hang: str, tmp_path: Path, works: Callable[[Tool], None], answering: list[Tool]
) -> None:
    works(PYSTACK)
    with victim(hang, TMPDIR=str(tmp_path)) as it:
        for tool in answering:
            category = CATEGORIES[hang].get(tool.name, CATEGORIES[hang][""])
            seen = settle(it.pid, tool, tmp_path / "stacks", category)
            assert seen.tool == tool.name
            assert (tmp_path / "stacks" / f"1-{tool.name}.txt").stat().st_size > 0


def test_two_runs_of_a_hang_have_one_fingerprint_and_two_hangs_have_two(
    tmp_path: Path, works: Callable[[Tool], None]
) -> None:
    works(PYSTACK)
    found: dict[str, set[str]] = {}
    for hang in ("fork_deadlock", "ring", "locks", "spins") * 2:
        with victim(hang, TMPDIR=str(tmp_path)) as it:
            category = CATEGORIES[hang][""]
            seen = settle(it.pid, PYSTACK, tmp_path, category)
            found.setdefault(hang, set()).add(wait_site.fingerprint(seen.threads))
    assert [len(prints) for prints in found.values()] == [1, 1, 1, 1]
    assert len(set().union(*found.values())) == 4


def test_two_captures_show_that_a_deadlock_does_not_move(
    tmp_path: Path, works: Callable[[Tool], None]
) -> None:
    works(PYSTACK)
    with victim("fork_deadlock") as it:
        settle(it.pid, PYSTACK, tmp_path, "stream_evaluation")
        evidence = capture.capture_twice(it.pid, tmp_path / "stacks", pause_s=0.2)
    assert evidence.moved is False
    assert evidence.waits is not None
    assert (evidence.waits.overall.python_frame or "").endswith(" in fork_deadlock")
    files = sorted(path.name for path in (tmp_path / "stacks").glob("*.txt"))
    assert files == ["1-pystack.txt", "2-pystack.txt"]


def test_two_captures_of_a_healthy_training_are_told_apart(
    tmp_path: Path, works: Callable[[Tool], None]
) -> None:
    works(PYSTACK)
    with victim("healthy") as it:
        settle(it.pid, PYSTACK, tmp_path, "running", "stream_evaluation")
        looks = (capture.capture_twice(it.pid, tmp_path, pause_s=0.05).moved for _ in range(50))
        assert any(looks)


def test_a_process_that_ends_between_the_captures_is_no_evidence_of_standing_still(
    tmp_path: Path,
) -> None:
    """The tool answers once, and its process dies of something else before the second look."""
    with victim("sleeps") as it:
        script = "[ -e /proc/{pid}/fd/0 ] && kill -9 {pid} && printf '%s\\n' " + (
            "'Thread 1 (LWP {pid}):' '#0  main () at a.c:1'"
        )
        evidence = capture.capture_twice(it.pid, tmp_path, [shell(script)], pause_s=0.5)
    assert [seen.tool for seen in evidence.captures] == ["fake", None]
    assert evidence.moved is None
    assert evidence.waits is not None


# --- the target is unharmed ---------------------------------------------------------------------


@pytest.mark.parametrize("tool", [PYSTACK, PY_SPY, NONBLOCKING, GDB], ids=lambda tool: tool.name)
def test_a_healthy_process_goes_on_and_ends_right(
    tool: Tool, tmp_path: Path, works: Callable[[Tool], None]
) -> None:
    works(tool)
    for most in MOST:
        with victim("counts", str(most)) as it:
            looks = 0
            while it.process.poll() is None and looks < 10:
                seen = capture.capture(it.pid, tmp_path, [tool], timeout=PATIENCE_S)
                looks += seen.tool is not None
            assert it.rest() == f"{sum(range(most))}\n"
            assert it.process.wait() == 0
        if looks:
            return
    pytest.fail("it had always ended before the tool answered")


@pytest.mark.parametrize("tool", [PYSTACK, PY_SPY, NONBLOCKING, GDB], ids=lambda tool: tool.name)
def test_a_stopped_process_stays_stopped_and_can_be_continued(
    tool: Tool, tmp_path: Path, works: Callable[[Tool], None]
) -> None:
    works(tool)
    with victim("counts", "200") as it:
        os.kill(it.pid, signal.SIGSTOP)
        os.waitpid(it.pid, os.WUNTRACED)
        seen = capture.capture(it.pid, tmp_path, [tool], timeout=PATIENCE_S)
        assert seen.tool == (None if tool is PY_SPY else tool.name)
        # A tracer that lets go of a stopped process wakes it for the moment it takes to stop again.
        # One that was really let run would count to its end and never be seen stopped.
        end = time.monotonic() + PATIENCE_S
        while state(it.pid) == "R" and time.monotonic() < end:
            time.sleep(0.01)
        assert state(it.pid) == "T"
        os.kill(it.pid, signal.SIGCONT)
        assert it.rest() == f"{sum(range(200))}\n"
        assert it.process.wait() == 0


@pytest.mark.parametrize("tool", [PYSTACK, GDB], ids=lambda tool: tool.name)
def test_a_tool_that_is_killed_while_it_holds_the_process_leaves_it_running(
    tool: Tool, tmp_path: Path, works: Callable[[Tool], None]
) -> None:
    works(tool)
    for most in MOST:
        with victim("counts", str(2 * most)) as it:
            took = capture.capture(it.pid, tmp_path, [tool], timeout=PATIENCE_S).attempts[0].seconds
            killed = 0
            for part in range(1, 16):
                seen = capture.capture(it.pid, tmp_path, [tool], timeout=took * part / 15)
                if it.process.poll() is not None:
                    break
                if seen.tool is None:
                    assert "no answer in" in seen.attempts[0].reason
                    killed += 1
            assert it.rest() == f"{sum(range(2 * most))}\n"
            assert it.process.wait() == 0
        if killed:
            return
    pytest.fail("it had always ended before a tool was killed")


def test_a_process_that_a_dead_tool_left_stopped_is_continued(tmp_path: Path) -> None:
    rogue = Tool(name="rogue", command=("sh", "-c", "kill -STOP {pid}; sleep 600"), parser="gdb")
    with victim("counts", "200") as it:
        seen = capture.capture(it.pid, tmp_path, [rogue], timeout=1.0)
        assert seen.tool is None
        assert it.rest() == f"{sum(range(200))}\n"


# --- transfers that are under way ---------------------------------------------------------------


@contextlib.contextmanager
def transferring(*calls: str) -> Iterator[subprocess.Popen[str]]:
    """A process with a thread in each of these transfers, which goes on once it reads a line."""
    with subprocess.Popen(
        [sys.executable, str(TRANSFERS), *calls],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert int(process.stdout.readline()) == process.pid
            end = time.monotonic() + PATIENCE_S
            while len(linux.transfers(process.pid)) < len(calls):
                assert time.monotonic() < end, linux.transfers(process.pid)
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("tool", [PYSTACK, PY_SPY, GDB], ids=lambda tool: tool.name)
def test_a_tool_that_stops_the_process_is_not_let_near_a_transfer(
    tool: Tool, tmp_path: Path
) -> None:
    with transferring("write") as it:
        seen = capture.capture(it.pid, tmp_path, [tool], timeout=PATIENCE_S)
        assert seen.tool is None
        if seen.attempts[0].reason != "not installed":
            assert "would cut short the write that thread" in seen.attempts[0].reason
        assert it.communicate("go on\n") == ("write whole\n", None)


def test_every_kind_of_transfer_goes_on_whole_when_its_stacks_are_taken(
    tmp_path: Path, works: Callable[[Tool], None]
) -> None:
    works(NONBLOCKING)
    calls = ("write", "writev", "send", "sendfile", "receive")
    log = tmp_path / "faults.txt"
    log.touch()
    with transferring(*calls) as it:
        found = capture.capture_twice(
            it.pid, tmp_path, pause_s=0.1, faulthandler_file=log, may_signal=True
        )
        assert all((one.tool or "").endswith("-nonblocking") for one in found.captures)
        assert len(found.captures) == 2
        assert found.waits is not None
        seen = {site.function for site in found.waits.threads if site.category.value == "io"}
        assert seen == {"write", "writev", "sendto", "sendfile", "recvfrom"}
        out, _ = it.communicate("go on\n")
    assert out.splitlines() == [f"{call} whole" for call in calls]


@pytest.mark.skipif(not shutil.which("perl"), reason="there is no perl")
@pytest.mark.parametrize("seconds", [0, 600])
def test_a_read_that_a_stop_would_end_with_an_error_forbids_one(seconds: int) -> None:
    """Of a socket that has a timeout of its own: no system call shows it."""
    code = (
        "use Socket; socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC);"
        f"setsockopt($a, SOL_SOCKET, SO_RCVTIMEO, pack('l!l!', {seconds}, 0));"
        "$| = 1; print qq(up\\n); sysread($a, my $x, 1)"
    )
    with subprocess.Popen(["perl", "-e", code], stdout=subprocess.PIPE) as reader:
        try:
            assert reader.stdout is not None
            reader.stdout.readline()
            end = time.monotonic() + PATIENCE_S
            while "unix" not in Path(f"/proc/{reader.pid}/wchan").read_text():
                assert time.monotonic() < end
            assert ("end the read" in tools.harm(reader.pid)) is (seconds > 0)
        finally:
            reader.kill()


HEEDS = """
import os, signal, subprocess, threading
heard = threading.Event()
signal.signal(signal.SIGCHLD, lambda *_: heard.set())
if {alarm}: signal.signal(signal.SIGALRM, lambda *_: None)
for _ in range({threads}): threading.Thread(target=threading.Event().wait, daemon=True).start()
print("up", flush=True)
while True:
    heard.clear()
    with subprocess.Popen(["sleep", "{seconds}"]): heard.wait()
    print("heard", flush=True)
"""


@contextlib.contextmanager
def heeding(**fields: object) -> Iterator[subprocess.Popen[str]]:
    code = HEEDS.format(**{"alarm": False, "threads": 6, "seconds": 600, **fields})
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_signal_that_could_reach_another_thread_forbids_a_stop() -> None:
    """A handler of Python runs in the main thread: when another thread has taken the signal, what
    it would end never ends."""
    with heeding() as process:
        assert "SIGCHLD, which it handles" in tools.astray(process.pid)
    with heeding(alarm=True) as process:
        assert "SIGALRM, which it handles" in tools.astray(process.pid)  # the first of both
    with heeding(threads=0, alarm=True) as process:
        assert tools.astray(process.pid) == "", "nobody else could take it"


def test_who_waits_for_a_signal_hears_it_while_it_is_looked_at(tmp_path: Path) -> None:
    """Each of the tools that stop made it wait for ever within its first looks."""
    with heeding(seconds=0.05) as process:
        assert process.stdout is not None
        for look in range(4):
            capture.capture(process.pid, tmp_path / str(look))
        for _ in range(80):  # more than it can have printed by now
            assert process.stdout.readline() == "heard\n"


def test_no_signal_is_sent_into_a_transfer(tmp_path: Path) -> None:
    log = tmp_path / "faults.txt"
    log.touch()
    with transferring("write") as it:
        seen = capture.capture(it.pid, tmp_path, [], faulthandler_file=log, may_signal=True)
        assert "would cut short the write" in seen.attempts[0].reason
        assert it.communicate("go on\n") == ("write whole\n", None)


def test_one_that_was_seen_in_a_transfer_is_spared_between_two(tmp_path: Path) -> None:
    with victim("sleeps") as it:
        seen = capture.capture(it.pid, tmp_path, [PYSTACK], timeout=PATIENCE_S, spare=True)
        assert "could harm" in seen.attempts[0].reason


# --- tools that misbehave -----------------------------------------------------------------------


def shell(script: str, name: str = "fake") -> Tool:
    return Tool(name=name, command=("sh", "-c", script), parser="gdb")


@pytest.fixture
def idle() -> Iterator[int]:
    """A process that a tool may stop. That of a test has an alarm where that is its timeout."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


ANSWER = shell("printf 'Thread 1 (LWP 1):\\n#0  main () at a.c:1\\n'", "answer")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sleep 600", "no answer in 4 s"),
        ("sleep 600 & echo $!; exit 0", "no answer in 4 s"),
        ("trap '' TERM INT HUP; while :; do sleep 600; done", "no answer in 4 s"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        ("echo some prose; echo 'Error: no luck' >&2; echo at >&2; exit 3", "Error: no luck"),
        ("exit 0", "no stack in its answer; exit code 0"),
        ("echo nothing of use", "no stack in its answer; nothing of use"),
        ("printf '\\377\\376'; exit 1", "exit code 1"),
    ],
)
def test_a_tool_that_fails_is_recorded_and_the_next_one_asked(
    script: str, reason: str, tmp_path: Path, idle: int
) -> None:
    limit = 4.0 if "no answer" in reason else PATIENCE_S
    seen = capture.capture(idle, tmp_path, [shell(script), ANSWER], timeout=limit)
    failed = seen.attempts[0]
    assert (failed.ok, failed.file) == (False, None)
    assert failed.reason == reason
    assert "\n" not in failed.reason
    assert (seen.tool, seen.file, len(seen.threads)) == ("answer", "1-answer.txt", 1)
    assert [path.name for path in tmp_path.glob("*.txt")] == ["1-answer.txt"]


def test_what_a_hanging_tool_started_is_ended_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    capture.capture(1, tmp_path, [shell(f"sleep 600 & echo $! > {note}; wait")], timeout=5.0)
    with contextlib.suppress(psutil.NoSuchProcess):
        child = psutil.Process(int(note.read_text()))
        assert psutil.wait_procs([child], PATIENCE_S)[0] or child.status() == psutil.STATUS_ZOMBIE


ADOPTS = """
import ctypes, os, subprocess
import psutil
from harness.observe import run_tool

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
other = subprocess.Popen(["sh", "-c", "exit 7"])
os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
tool = "(sleep 600 & sleep 600) & yes"
print(run_tool.run(["sh", "-c", tool], 600.0, limit=4096).problem)
left = [child for child in psutil.Process().children() if child.pid != other.pid]
print(left, other.wait())
"""


@pytest.mark.parametrize("as_pid_1", [False, True])
def test_what_a_tool_leaves_to_who_adopts_it_is_waited_for(as_pid_1: bool) -> None:
    """As the first process of a container does. Another child is whoever's has started it."""
    alone = ["unshare", "--pid", "--fork", "--mount-proc"] if as_pid_1 else []
    if as_pid_1 and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("cannot make a name space of processes")
    root = str(Path(capture.__file__).parents[2])
    done = subprocess.run(
        [*alone, sys.executable, "-c", ADOPTS],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["printed more than 4 KiB", "[] 7"]


def test_a_tool_is_ended_when_it_is_told_to_stop(tmp_path: Path) -> None:
    """In all the time that it may take: also one that has closed its outputs."""
    for silent in ("", "exec >&- 2>&-; "):
        note = tmp_path / f"pid{len(silent)}"
        stop = threading.Event()
        script = f"{silent}echo $$ > {note}.new; mv {note}.new {note}; exec sleep 3600"
        answers: list[run_tool.Answer] = []
        command = ["sh", "-c", script]
        thread = threading.Thread(
            target=lambda command=command, stop=stop, answers=answers: answers.append(
                run_tool.run(command, 3600.0, stop=stop)
            ),
            daemon=True,
        )
        thread.start()
        end = time.monotonic() + PATIENCE_S
        while not note.exists() and time.monotonic() < end:
            time.sleep(0.02)
        stop.set()
        thread.join(PATIENCE_S)
        (answer,) = answers
        assert (answer.code, answer.problem) == (None, "ended together with the run")
        assert not psutil.pid_exists(int(note.read_text()))


def test_no_tool_is_tried_once_there_is_no_use_for_it(tmp_path: Path, idle: int) -> None:
    stop = threading.Event()
    stop.set()
    seen = capture.capture_twice(idle, tmp_path, [shell("echo never")], stop=stop)
    assert seen.captures == (StackCapture(attempts=()),)


@pytest.mark.parametrize("whose", ["ours", "of one that has died"])
def test_a_tool_is_started_for_who_is_still_there(whose: str) -> None:
    """By its own number: who has become the parent of an orphan may have any."""
    owner = os.getpid() + (whose != "ours")
    command = [sys.executable, "-I", "-S", "-c", run_tool._TIED, str(owner), "echo", "started"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == ("started\n" if whose == "ours" else "")


def test_a_tool_that_floods_is_cut_off() -> None:
    answer = run_tool.run(["sh", "-c", "yes"], timeout=PATIENCE_S, limit=1 << 20)
    assert answer.code is None
    assert answer.problem == "printed more than 1 MiB"
    assert len(answer.output) < 2 << 20


def test_a_flood_of_errors_is_cut_off_too() -> None:
    assert run_tool.run(["sh", "-c", "yes >&2"], timeout=PATIENCE_S, limit=4096).code is None


def test_what_a_tool_uses_is_that_of_who_asked_for_it() -> None:
    ours, theirs = threading.Event(), threading.Event()
    code = "import time\nwhile time.process_time() < 0.3: pass"
    asked = [
        threading.Thread(target=run_tool.run, args=([sys.executable, "-c", text], PATIENCE_S),
                         kwargs={"stop": stop})
        for text, stop in ((code, ours), ("pass", theirs))
    ]  # fmt: skip
    for one in asked:
        one.start()
    for one in asked:
        one.join()
    assert run_tool.spent(ours) >= 0.3 > run_tool.spent(theirs) > 0.0


def test_a_missing_tool_and_a_file_that_cannot_be_written_are_reasons(
    tmp_path: Path, idle: int
) -> None:
    missing = Tool(name="missing", command=("no-such-tool-anywhere",), parser="gdb")
    (tmp_path / "file").touch()
    seen = capture.capture(idle, tmp_path / "file" / "stacks", [missing, ANSWER])
    assert [attempt.ok for attempt in seen.attempts] == [False, False]
    assert seen.attempts[0].reason == "not installed"
    assert "file" in seen.attempts[1].reason.lower()


def test_a_process_that_is_gone_is_a_reason(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    seen = capture.capture(process.pid, tmp_path)
    assert seen.tool is None
    assert all(attempt.reason for attempt in seen.attempts)


def test_a_module_beside_the_user_is_not_taken_for_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: Callable[[Tool], None]
) -> None:
    works(PYSTACK)
    (tmp_path / "pystack.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    with victim("sleeps") as it:
        assert settle(it.pid, PYSTACK, tmp_path, "sleep").tool == "pystack"


# --- faulthandler -------------------------------------------------------------------------------


def test_faulthandler_answers_when_nothing_else_does(tmp_path: Path) -> None:
    log = tmp_path / "faults.txt"
    with victim("gil", STACKS_FAULTHANDLER=str(log)) as it:
        seen = capture.capture(it.pid, tmp_path, [], faulthandler_file=log, may_signal=True)
        assert (seen.tool, seen.file) == ("faulthandler", "1-faulthandler.txt")
        main = next(thread for thread in seen.threads if thread.main)
        assert main.frames[-2].function == "gil"


def test_no_signal_is_sent_without_leave(tmp_path: Path) -> None:
    log = tmp_path / "faults.txt"
    with victim("sleeps", STACKS_FAULTHANDLER=str(log)) as it:
        assert capture.capture(it.pid, tmp_path, [], faulthandler_file=log).attempts == ()
        assert log.read_text() == ""


def test_a_signal_that_would_kill_is_not_sent(tmp_path: Path) -> None:
    log = tmp_path / "faults.txt"
    log.touch()
    with victim("counts", "200") as it:
        seen = capture.capture(it.pid, tmp_path, [], faulthandler_file=log, may_signal=True)
        assert "would kill" in seen.attempts[0].reason
        assert it.rest() == f"{sum(range(200))}\n"


def test_a_stopped_process_gets_no_signal_that_it_would_answer_later(tmp_path: Path) -> None:
    log = tmp_path / "faults.txt"
    with victim("counts", "200", STACKS_FAULTHANDLER=str(log)) as it:
        os.kill(it.pid, signal.SIGSTOP)
        os.waitpid(it.pid, os.WUNTRACED)
        seen = capture.capture(it.pid, tmp_path, [], faulthandler_file=log, may_signal=True)
        assert "stopped" in seen.attempts[0].reason
        os.kill(it.pid, signal.SIGCONT)
        it.rest()
    assert log.read_text() == ""


# --- doctor -------------------------------------------------------------------------------------


def test_doctor_names_every_tool_of_the_platform_with_a_reason_or_none() -> None:
    for probe in (False, True):
        found = tools.available(probe=probe)
        names = ["pystack", "py-spy", "pystack-nonblocking", "py-spy-nonblocking", "gdb"]
        assert [one.name for one in found] == names
        assert all(one.ok or one.reason for one in found)


def test_doctor_says_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Tool(name="gone", command=("no-such-tool-anywhere",), parser="gdb")
    monkeypatch.setattr(tools, "TOOLS", (gone,))
    for probe in (False, True):
        (one,) = tools.available(probe=probe)
        assert (one.name, one.ok, one.reason) == ("gone", False, "not installed")


def test_the_gpus_are_asked_what_they_do(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 100 %, 1034 MiB'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpu.utilization() == ["NVIDIA H100 80GB HBM3, 100 %, 1034 MiB"]
    tool.write_text("#!/bin/sh\necho 'no devices were found'; exit 6\n")
    assert gpu.utilization() == []


def test_without_a_tool_nothing_is_known_of_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.utilization() == []


@pytest.mark.skipif(sys.platform != "linux", reason="as only Linux does it")
def test_a_tool_dies_with_whoever_started_it(tmp_path):
    note = tmp_path / "pid"
    tool = f"echo $$ > {note}.new; mv {note}.new {note}; exec sleep 600"
    code = f"from harness.observe import run_tool; run_tool.run(['sh', '-c', {tool!r}], 600)"
    root = str(Path(capture.__file__).parents[2])
    owner = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root})
    try:
        end = time.monotonic() + 60
        while not note.exists() and time.monotonic() < end:
            time.sleep(0.02)
        tool = psutil.Process(int(note.read_text()))
    finally:
        owner.kill()
        owner.wait()
    psutil.wait_procs([tool], timeout=60)
    assert not tool.is_running() or tool.status() == psutil.STATUS_ZOMBIE
