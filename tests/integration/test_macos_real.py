"""A Mac on Linux: macOS's libraries answer live from /proc, and the harness sees nothing else.

tests/macos/darwin.c is that Mac. It is compiled here, so these tests need a C compiler.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from trial import ROOT

from harness.detect.policy import STANDARD
from harness.observe.macos import kernel, memory, tree
from harness.observe.macos.platform import MacOS
from harness.stacks import by_signal

pytestmark = [
    pytest.mark.mac,
    pytest.mark.skipif(sys.platform != "linux", reason="the simulated Mac answers from /proc"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]

HERE = ROOT / "tests" / "macos"
STEPS = "for n in range(6):\n    print(f'step {n} loss 2.{n}', flush=True)\n    time.sleep(0.1)\n"
LAST = "print('step 6 loss 1.0', flush=True)\n"
BUSY = f"import time\n{STEPS}end = time.monotonic() + 20\nwhile time.monotonic() < end:\n"
BUSY += f"    sum(range(1000))\n{LAST}"
CHILD = f"import subprocess, time\n{STEPS}subprocess.run(['sleep', '20'])\n{LAST}"
STUCK = f"import threading, time\n{STEPS}lock = threading.Lock()\nlock.acquire()\nlock.acquire()\n"
WAITS = f"import time\n{STEPS}time.sleep(20)\n{LAST}"
"""It stands for a host that waits for the GPU: `sample` is made to answer so."""
GPU = {"SAMPLE_TEXT": str(HERE / "samples" / "composed-gpu-wait-main-only.txt"),
       "IOREG_CLIENTS": "train.py"}  # fmt: skip
SOURCES = ("ids", "rusage", "children", "users", "files", "pipes", "sockets", "paths", "pages",
           "swap", "ticks")  # fmt: skip
"""Each can be refused alone, and threads can still be seen."""


@pytest.fixture
def mac(library, monkeypatch):
    """This process asks the simulated Mac."""
    loaded = ctypes.CDLL(str(library), use_errno=True)
    monkeypatch.setattr(kernel, "_library", lambda path: loaded)
    caches = (kernel.tick_s, kernel._host)
    for cache in caches:
        cache.cache_clear()
    yield MacOS("darwin", "arm64")
    for cache in caches:
        cache.cache_clear()


def environment_of(library: Path) -> dict[str, str]:
    """The environment of a harness on the simulated Mac."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{HERE / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "DARWIN_LIBRARY": str(library),
        "SAMPLE_PYTHON": sys.executable,
    }


@pytest.fixture
def watched(library, tmp_path) -> Callable[..., tuple[dict, str]]:
    """`watched(program)`: the result of a watch of it on the simulated Mac, and what was told."""

    def watch(
        program: str, refused: str = "", patience: str = "5", **tools: str
    ) -> tuple[dict, str]:
        script = tmp_path / "train.py"
        script.write_text(program)
        done = subprocess.run(
            [sys.executable, str(HERE / "pretend.py"), "watch", "--patience", patience, "--json"]
            + ["--out", str(tmp_path / "out"), "--", sys.executable, str(script)],
            env={**environment_of(library), "DARWIN_REFUSES": refused, **tools},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        (result,) = json.loads(done.stdout)["results"]
        return result, done.stderr

    return watch


@pytest.fixture
def started():
    """`started(program)`: a process with two threads beside its main one."""
    processes = []

    def start(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


THREADS = """
import threading, time
for _ in range(2):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
BURN = """
import time
print('up', flush=True)
while time.thread_time() < {}: pass
print('still', flush=True)
time.sleep(60)
"""


def test_processes_are_seen_with_their_threads_and_times(mac, started):
    began = time.monotonic()
    process = started(THREADS + BURN.format(1))
    process.stdout.readline()
    (seen,) = tree.processes([process.pid])
    while {one.state for one in seen.threads} != {"S"}:
        time.sleep(0.05)
        (seen,) = tree.processes([process.pid])
    assert (seen.ppid, len(seen.threads)) == (os.getpid(), 3)
    assert seen.main_thread == seen.threads[0].tid > 1 << 32
    # By its task in ticks of 125/3 ns, by its threads in nanoseconds.
    assert seen.cpu_s == pytest.approx(sum(one.cpu_s for one in seen.threads), abs=0.1)
    assert 0.9 < seen.cpu_s < 2
    assert mac.open_files(process.pid)["pipe"] >= 1
    assert mac.held([process.pid])[0] > 1 << 20
    before = mac.more(seen)
    assert before.moves > 0
    assert before == msgspec.structs.replace(mac.more(seen), age_s=before.age_s)
    assert 0 < before.age_s < time.monotonic() - began + 0.1


def test_one_that_rosetta_translates_reads_the_same_times(mac, started, monkeypatch):
    process = started(BURN.format(0.5))
    process.stdout.readline()
    (plain,) = tree.processes([process.pid])
    monkeypatch.setenv("DARWIN_ROSETTA", "1")
    kernel.tick_s.cache_clear()
    (translated,) = tree.processes([process.pid])
    assert translated.cpu_s == pytest.approx(plain.cpu_s, abs=0.1)
    assert plain.cpu_s > 0.4


def test_children_and_what_has_ended_are_seen(mac, started):
    process = started("import os, time\nif os.fork() == 0: os._exit(0)\n" + BURN.format(0))
    family = tree.processes([process.pid])
    while family[-1].state != "Z":  # the child ends when it gets a core
        time.sleep(0.05)
        family = tree.processes([process.pid])
    assert [one.ppid for one in family] == [os.getpid(), process.pid]
    os.kill(process.pid, signal.SIGSTOP)
    while tree.processes([process.pid])[0].state != "T":
        time.sleep(0.05)
    assert tree.processes([1 << 22]) == ()


def test_a_pipes_ends_name_one_another(mac):
    ours, theirs = os.pipe()
    one, other = kernel.pipe(os.getpid(), ours), kernel.pipe(os.getpid(), theirs)
    os.close(ours)
    assert kernel.pipe(os.getpid(), theirs).pipeinfo.pipe_peerhandle == 0  # closed
    os.close(theirs)
    ours, theirs = os.pipe()
    os.close(theirs)
    assert kernel.pipe(os.getpid(), ours).pipeinfo.pipe_peerhandle == 0
    os.close(ours)
    assert one.pipeinfo.pipe_peerhandle == other.pipeinfo.pipe_handle
    assert other.pipeinfo.pipe_peerhandle == one.pipeinfo.pipe_handle
    assert kernel.pipe(os.getpid(), theirs) is None


ENDS = """
import os, socket, sys, time
reads, writes = map(int, sys.argv[1:3])
pair = socket.socket(fileno=int(sys.argv[3]))
stream = socket.create_connection(("127.0.0.1", int(sys.argv[4])))
own = os.pipe()
print("up", flush=True)
time.sleep(60)
"""


def test_the_other_ends_of_pipes_and_streams_are_found(mac):
    reads, writes = os.pipe()
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server, ours, theirs:
        given = [
            str(number) for number in (reads, writes, theirs.fileno(), server.getsockname()[1])
        ]
        child = subprocess.Popen(
            [sys.executable, "-c", ENDS, *given], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
            text=True, pass_fds=(reads, theirs.fileno()),
        )  # fmt: skip
        try:
            accepted, _ = server.accept()
            os.close(reads)
            theirs.close()
            child.stdout.readline()
            found = mac.relations()(tree.processes([child.pid]))
            os.write(writes, b"12345")
            later = mac.relations()(tree.processes([child.pid]))
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
            os.close(writes)
        accepted.close()
    me = (os.getpid(),)
    told = {(link.kind, link.peers, link.reads, link.only_own) for link in found.files[child.pid]}
    assert told >= {
        ("pipe", me, True, False),  # that from us
        ("pipe", me, False, False),  # its output
        ("pipe", (), True, True),
        ("local_socket", me, None, False),
        ("tcp", me, None, False),
    }
    assert found.peers[child.pid] == me
    assert [link.queued for link in later.files[child.pid] if link.reads and link.peers] == [5]


def test_the_memory_of_a_system_that_tells_more_than_is_known(mac):
    whole = memory.machine(whole=True)
    assert whole.available > 1 << 20
    assert (whole.swap_used, whole.compressed, whole.pressure_level) == (3 << 20, 1000 * 16384, 1)
    assert (whole.page_outs, whole.decompressions) == (70, 1 << 33)


@pytest.mark.parametrize("refused", SOURCES)
def test_where_one_source_is_refused_threads_are_still_seen(mac, started, monkeypatch, refused):
    process = started(THREADS + BURN.format(0))
    monkeypatch.setenv("DARWIN_REFUSES", refused)
    (seen,) = tree.processes([process.pid])
    assert len(seen.threads) == 3
    mac.machine(whole=True)
    mac.held([process.pid])
    mac.open_files(process.pid)
    mac.relations()([seen])


def test_a_look_makes_few_calls_and_starts_no_process(mac, started, monkeypatch, tmp_path):
    process = started(THREADS + BURN.format(0))
    counts = tmp_path / "counts"
    monkeypatch.setenv("DARWIN_COUNTS", str(counts))
    monkeypatch.setattr(subprocess, "Popen", None)
    (seen,) = mac.processes([process.pid])
    mac.machine(whole=True)
    assert len(counts.read_bytes()) <= 4 + 2 * len(seen.threads)


def test_doctor_says_what_can_be_seen(library):
    for refused, ok in (("", True), ("threads", False)):
        done = subprocess.run(
            [sys.executable, str(HERE / "pretend.py"), "doctor", "--json"],
            env={**environment_of(library), "DARWIN_REFUSES": refused},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        shown = json.loads(done.stdout)
        assert shown["processes"]["ok"] is ok
        assert shown["memory"]["available"] > 1 << 20
        assert [one["ok"] for one in shown["stack_tools"] if one["name"] == "sample"] == [True]
        heat = "the CPU's speed is limited to 80 %"
        assert shown["environment"]["mac"] == {
            "wired_limit": 0, "low_power": True, "thermal": heat, "unread": {}
        }  # fmt: skip
        assert shown["environment"]["compiler"] is None  # no stand-in is started


@pytest.mark.parametrize("program", [BUSY, CHILD], ids=["busy", "child"])
def test_a_program_that_works_is_left_alone(watched, program):
    result, _ = watched(program)
    assert (result["outcome"], result["steps_completed"]) == ("completed", 7)


def test_a_host_that_waits_for_a_gpu_that_works_is_left_alone(watched):
    result, _ = watched(WAITS, **GPU, IOREG_GROWS="1")
    assert (result["outcome"], result["steps_completed"]) == ("completed", 7)
    assert result["doubts"] == []


def test_a_host_that_waits_for_a_gpu_that_is_idle_has_stalled(watched):
    result, _ = watched(WAITS.replace("20", "600"), **GPU)
    assert result["outcome"] == "hung"
    evidence = result["cause"]["evidence"]
    assert evidence["end"]["kind"] == "gpu_idle"
    assert "waitUntilSignaledValue" in evidence["wait_site"]
    assert evidence["no_switch"]["told"].endswith("and the GPU did nothing for them")


@pytest.mark.slow
@pytest.mark.waits
def test_a_gpu_that_works_without_end_is_doubted_after_minutes(watched):
    result, _ = watched(WAITS.replace("20", "900"), **GPU, IOREG_GROWS="1")
    assert result["outcome"] == "hung"
    assert result["cause"]["evidence"]["end"]["kind"] == "gpu_works"
    assert result["doubts"][0]["said_s"] >= STANDARD.kernel_believed_s


def test_a_stall_is_doubted_and_ended_after_the_patience(watched):
    result, _ = watched(STUCK)
    assert result["outcome"] == "hung"
    doubt = result["doubts"][-1]
    assert result["detected_at_s"] - doubt["said_s"] >= 5
    evidence = result["cause"]["evidence"]
    assert evidence["wait_category"] == "lock"
    assert "no thread of these processes ran" in evidence["no_switch"]["told"]


def test_a_child_that_has_stalled_is_found_below_its_parent(watched):
    stuck = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
    program = CHILD.replace("'sleep', '20'", f"sys.executable, '-c', {stuck!r}")
    result, _ = watched(program.replace("import subprocess", "import sys, subprocess"))
    assert result["outcome"] == "hung"
    assert [link["wait"] for link in result["cause"]["evidence"]["chain"]] == ["child", "lock"]


def test_a_reader_is_followed_through_its_pipe(watched):
    stuck = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
    program = (
        f"import subprocess, sys, time\n{STEPS}child = subprocess.Popen([sys.executable, '-c', "
    )
    program += f"{stuck!r}], stdout=subprocess.PIPE)\nchild.stdout.read()\n{LAST}"
    result, _ = watched(program)
    assert result["outcome"] == "hung"
    assert [link["wait"] for link in result["cause"]["evidence"]["chain"]] == ["pipe", "lock"]


ANSWERS = """
import ctypes, sys
from harness.inject.inside import answering
answering.register(open(sys.argv[1], "a"), apart=True)
def in_a_call():
    step = 3
    print("up", flush=True)
    ctypes.CDLL(None).pause()
    print("ended", flush=True)
in_a_call()
"""


def test_a_question_ends_no_call_of_the_thread_that_trains(tmp_path):
    answer = tmp_path / "answer.txt"
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWERS, str(answer)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        process.stdout.readline()
        attempt, threads = by_signal.ask(
            process.pid, answer, tmp_path / "taken.txt", False, threading.Event()
        )
        assert attempt.ok, attempt.reason
        assert {one.frames[0].function for one in threads} == {"rests", "in_a_call"}
        assert [one.frames[0].function for one in threads if one.main] == ["in_a_call"]
        while not any(one.variables for one in threads if one.main):  # once it has the GIL
            _, threads = by_signal.ask(
                process.pid, answer, tmp_path / "taken.txt", False, threading.Event()
            )
    finally:
        process.kill()
        rest, _ = process.communicate()
    assert rest == ""


def test_controls_are_told_that_no_tool_shows(library, tmp_path):
    """A loop in Python, a compiler that waits for a signal, and the main thread in pause()."""
    done = subprocess.run(
        [sys.executable, str(HERE / "pretend.py"), "selftest", "livelock", "compiler_never_returns"]
        + ["peer_skips_collective", "--jobs", "3", "--json", "--out", str(tmp_path / "out")],
        env=environment_of(library), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    controls = json.loads(done.stdout)["controls"]
    assert {one["control"]: one["wrong"] for one in controls if not one["ok"]} == {}


def test_a_worker_tells_its_lines_of_python(library, tmp_path):
    done = subprocess.run(
        [sys.executable, str(HERE / "pretend.py"), "run", "two_locks", "--patience", "5", "--json"]
        + ["--out", str(tmp_path / "out")],
        env=environment_of(library), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    (result,) = json.loads(done.stdout)["results"]
    evidence = result["cause"]["evidence"]
    assert evidence["chain"][0]["place"].endswith("in lock_both")
    assert evidence["end"]["kind"] == "cycle"
    assert "in lock_both" in evidence["wait_site"]
    assert [one.split(":")[0] for one in evidence["stack_attempts"]] == ["sample", "faulthandler"]


WAITS_ONCE = """
import asyncio, threading
import mlx.core as mx
def waits():
    if training_step == 8:
        threading.Event().wait(30)
    if training_step == 10:
        asyncio.run(asyncio.sleep(30))
def make_step(training):
    def step(*batch):
        global training_step
        training_step = training.step
        waits()
        return mx.array(1.0)
    return step
"""


def test_a_wait_is_believed_whose_timeout_the_worker_tells(library, tmp_path):
    scenario = tmp_path / "waits_once.py"
    scenario.write_text(WAITS_ONCE)
    done = subprocess.run(
        [sys.executable, str(HERE / "pretend.py"), "run", str(scenario), "--steps", "12", "--json"]
        + ["--patience", "2", "--out", str(tmp_path / "out")],
        env=environment_of(library), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    (result,) = json.loads(done.stdout)["results"]
    assert (result["outcome"], result["doubts"]) == ("completed", [])


@pytest.mark.parametrize(
    "wait", ["asyncio.run(asyncio.sleep(40))", "select.select([os.pipe()[0]], [], [], 40)"]
)
def test_a_command_that_may_wait_with_a_timeout_is_left_alone(watched, wait):
    program = f"import asyncio, os, select, time\n{STEPS}{wait}\n{LAST}"
    assert watched(program, patience="2")[0]["outcome"] == "completed"


@pytest.mark.skipif(os.geteuid() != 0, reason="spindump answers root alone")
def test_root_is_told_who_owns_what_and_a_cycle_is_proven(watched):
    result, _ = watched(STUCK, patience="600", SAMPLE_MUTEXES="1", SPINDUMP_OWNERS="1>1")
    cause = result["cause"]
    assert (cause["code"], cause["proven"]) == ("deadlock", True)
    assert "turnstiles" in cause["evidence"]["told_by"]


@pytest.mark.parametrize(
    ("program", "answer"),
    [(STUCK, "stalled"), (CHILD.replace("'20'", "'600'"), "asleep")],
    ids=["stuck", "child"],
)
def test_attach_says_what_a_live_process_waits_for(library, started, tmp_path, program, answer):
    process = started(program)
    for _ in range(5):
        process.stdout.readline()
    time.sleep(1)
    done = subprocess.run(
        [sys.executable, str(HERE / "pretend.py"), "attach", "--json"]
        + ["--out", str(tmp_path / "out"), str(process.pid)],
        env=environment_of(library), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert re.search(rf"^process {process.pid} .*: {answer}$", done.stderr, re.MULTILINE)
    json.loads(done.stdout)


@pytest.mark.parametrize("refused", ["threads", "task"])
def test_what_cannot_be_seen_is_not_called_hung_and_it_is_said(watched, refused):
    result, told = watched(CHILD, refused, patience="0")
    assert (result["outcome"], result["steps_completed"]) == ("completed", 7)
    assert result["doubts"] == []
    assert "blind on this machine" in told


def test_a_look_that_raises_is_missed_and_it_is_said(watched):
    raising = "task thread children pages swap number rusage"
    result, told = watched(WAITS.replace("20", "10"), patience="0", RAISES=raising)
    assert (result["outcome"], result["steps_completed"], result["doubts"]) == ("completed", 7, [])
    assert "a look at the run failed (ArgumentError: " in told


@pytest.mark.parametrize(
    ("program", "refused"),
    [(CHILD, "rusage ticks pages swap"), (BUSY, "children ids files pipes")],
    ids=["figures", "lists"],
)
def test_where_a_source_is_refused_nothing_that_works_is_ended(watched, program, refused):
    result, told = watched(program, refused, patience="0")
    assert (result["outcome"], result["steps_completed"]) == ("completed", 7)
    assert "blind on this machine" not in told


@pytest.mark.parametrize(
    ("waits", "tools"),
    [
        ("subprocess.run(['cat', 'go'])", {"SAMPLE_REFUSES": "1"}),
        ("open('go').read()", {**GPU, "IOREG_REFUSES": "1"}),
    ],
    ids=["sample", "ioreg"],
)
def test_where_a_tool_is_refused_that_is_said_and_the_program_goes_on(
    library, tmp_path, waits, tools
):
    """It waits until that is said, however long it takes."""
    script, told, answer, go = (tmp_path / name for name in ("train.py", "told", "answer", "go"))
    script.write_text(f"import subprocess, time\n{STEPS}{waits}\n{LAST}")
    os.mkfifo(go)
    command = [sys.executable, str(HERE / "pretend.py"), "watch", "--patience", "0", "--json"]
    command += ["--budget", "300", "--out", "out", "--", sys.executable, script.name]
    with told.open("wb") as err, answer.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**environment_of(library), **tools},
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
    try:
        while process.poll() is None and b"blind on this machine" not in told.read_bytes():
            time.sleep(0.1)
        with contextlib.suppress(OSError):  # where nobody waits for it any more
            os.close(os.open(go, os.O_WRONLY | os.O_NONBLOCK))
        process.wait()
    finally:  # a test that took too long
        process.kill()
        process.wait()
    (result,) = json.loads(answer.read_text())["results"]
    assert (result["outcome"], result["steps_completed"]) == ("completed", 7)
    assert "Traceback" not in told.read_text()
