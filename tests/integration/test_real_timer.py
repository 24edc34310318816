"""Processes that are asked for their interval timer: they tell it, and go on as if nothing were."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from waiting import ARCH, SETTLE_S, compiled, python, settled, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="traces a process")

from harness.observe.linux import ask_timer, real_timer  # noqa: E402
from harness.supervise.gather import Gatherer  # noqa: E402
from harness.supervise.inspection import Prover  # noqa: E402

if ARCH not in ask_timer.MACHINES:
    pytest.skip(f"registers of {ARCH} are not known", allow_module_level=True)

KINDS = ("sem", "join", "registers", "wait4", "waitid", "pipe", "full")
CALLS = ("futex", "wait4", "waitid", "read", "write")
ROUNDS = 100


@pytest.fixture(scope="module")
def rests(tmp_path_factory):
    return compiled("rests", tmp_path_factory.mktemp("rests"))


@pytest.fixture
def load():
    """Both cores busy, and more."""
    spin = [sys.executable, "-c", "while True: pass"]
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.callback(stack.enter_context(subprocess.Popen(spin)).kill)
        yield


def resting(program, kind, timer="none"):
    return started(program, kind, timer, stdin=subprocess.PIPE, bufsize=1)


def goes_on(process):
    """End the wait that it rests in: it prints a line, or has ended with an error."""
    process.stdin.write("x")
    process.stdin.flush()
    assert process.stdout.readline().startswith("ready"), process.wait(10)


def asked(pid, calls=CALLS):
    """The answer, once the process has come to rest.

    It may have to be asked again: a loaded machine stops a thread late, and one that asks too and
    outlives its killed parent may hold it just then (PermissionError).
    """
    end = time.monotonic() + SETTLE_S
    while (said := answer(pid)) not in ("True", "False"):
        assert time.monotonic() < end, said
        settled(pid, *calls)
    return said == "True"


def answer(pid):
    """`True` or `False`, without the time that is left, `None`, or an error."""
    return ask_timer.answer(pid, os.getpid()).partition(" ")[0]


def found_out(pid):
    """The answer of the product. It has three seconds, and a loaded machine may need more."""
    end = time.monotonic() + SETTLE_S
    while (said := real_timer.timers([pid]).get(pid)) is None and time.monotonic() < end:
        pass
    return said


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines())


def untouched(pid):
    now = status(pid)
    return now["TracerPid"] == "0" and int(now["SigPnd"], 16) == 0 and now["State"][0] == "S"


TIMERS = {"none": False, "off": False, "ran": False, "once": True, "again": True}


@pytest.mark.parametrize(("timer", "truth"), TIMERS.items())
@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says_is_true_and_it_goes_on(rests, kind, timer, truth):
    with resting(rests, kind, timer) as (process, pid):
        for _ in range(3):
            settled(pid, *CALLS)
            assert found_out(pid).armed is truth
            goes_on(process)
        settled(pid, *CALLS)
        assert untouched(pid)


@pytest.mark.skipif(ARCH != "x86_64", reason="its call could not be made anew")
@pytest.mark.parametrize("kind", ["unix_recv", "unix_timed"])
def test_who_reads_from_a_local_socket_is_asked_and_reads_on(rests, kind):
    with resting(rests, kind, "once") as (process, pid):
        for _ in range(5):
            for _ in range(3):
                settled(pid, "recvfrom")
                assert asked(pid, ["recvfrom"]) is True
            goes_on(process)
        settled(pid, "recvfrom")
        assert untouched(pid)


def test_a_posix_timer_tells_when_it_rings_and_the_wait_goes_on(rests):
    with resting(rests, "sem", "posix") as (process, pid):
        settled(pid, *CALLS)
        told = found_out(pid)
        assert not told.armed
        assert 0 < told.rings_s <= 600
        goes_on(process)
        settled(pid, *CALLS)
        assert untouched(pid)


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("kind", KINDS)
def test_each_of_many_waits_ends_normally_under_load(rests, kind):
    with resting(rests, kind, "again") as (process, pid):
        for number in range(ROUNDS):
            for _ in range(1 + number % 3):
                assert asked(pid) is True
            goes_on(process)


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("kind", KINDS)
def test_it_may_be_woken_while_it_is_asked(rests, kind):
    """Whatever comes first, the wait ends once and no wake is lost."""
    with resting(rests, kind, "once") as (process, pid):
        over = threading.Event()

        def ask_again_and_again():
            while not over.is_set():
                assert answer(pid) != "False"

        asker = threading.Thread(target=ask_again_and_again)
        asker.start()
        try:
            for _ in range(ROUNDS):
                goes_on(process)
        finally:
            over.set()
            asker.join()
        assert asked(pid) is True


@pytest.mark.usefixtures("load")
def test_signals_reach_it_while_it_is_asked(rests):
    """A handler that restarts calls: no wait may end because of it."""
    with resting(rests, "sem", "once") as (process, pid):
        over = threading.Event()

        def fire():
            while not over.wait(0.0005):
                os.kill(pid, signal.SIGUSR1)

        gun = threading.Thread(target=fire)
        gun.start()
        try:
            answers, end = [], time.monotonic() + SETTLE_S
            while len(answers) < ROUNDS or ("True" not in answers and time.monotonic() < end):
                answers.append(answer(pid))
            for _ in range(20):
                goes_on(process)
        finally:
            over.set()
            gun.join()
        assert "True" in answers
        assert "False" not in answers
        assert asked(pid) is True


ASKS = (
    "import os, sys, time\n"
    "from harness.observe.linux.real_timer import timers\n"
    "print('ready', os.getpid(), flush=True)\n"
    "while True: timers([int(sys.argv[1])])\n"
)


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize("kind", KINDS)
def test_who_asks_may_be_killed_at_any_moment(rests, kind):
    with resting(rests, kind, "once") as (process, pid):
        for _ in range(5):
            with python(ASKS, str(pid)) as (asker, _):
                time.sleep(random.uniform(0.0, 0.2))
                os.killpg(asker.pid, signal.SIGKILL)
            goes_on(process)
            settled(pid, *CALLS)
            end = time.monotonic() + SETTLE_S  # the program that asks finishes what it has begun
            while not untouched(pid) and time.monotonic() < end:
                time.sleep(0.01)
            assert untouched(pid)
            assert asked(pid) is True
            goes_on(process)


UNKNOWN = {
    "sleeps": "time.sleep(600)",
    "runs": "while True: pass",
    "waits with a timeout": "threading.Event().wait(600)",
    "polls": "import select; select.epoll().poll()",
    "writes more than goes in at once": "r, w = os.pipe(); os.write(w, bytes(1 << 17))",
    "writes to a full stream of a socket": (
        "import socket; a, b = socket.socketpair()\nwhile True: a.send(bytes(9))"
    ),
    "is stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "has a filter of its own": (
        "import ctypes, struct\n"
        "allow = struct.pack('=HBBI', 6, 0, 0, 0x7fff0000)\n"
        "held = ctypes.create_string_buffer(allow)\n"
        "program = struct.pack('HxxxxxxQ', 1, ctypes.addressof(held))\n"
        "libc = ctypes.CDLL(None)\n"
        "assert libc.prctl(38, 1, 0, 0, 0) == 0\n"
        "assert libc.prctl(22, 2, program, 0, 0) == 0\n"
        "threading.Event().wait()"
    ),
}
BEGIN = "import os, signal, sys, threading, time\nprint('ready', os.getpid(), flush=True)\n"


@pytest.mark.parametrize("code", UNKNOWN.values(), ids=UNKNOWN)
def test_nobody_is_asked_whom_that_could_harm(code):
    with python(BEGIN + code) as (_, pid):
        # Until it has come to rest, some other answer may be right.
        end = time.monotonic() + 60
        while (answer := ask_timer.answer(pid, os.getpid())) != "None" and time.monotonic() < end:
            time.sleep(0.1)
        for _ in range(5):
            time.sleep(0.1)
            assert answer == ask_timer.answer(pid, os.getpid()) == "None"


def test_one_that_is_traced_is_not_asked():
    with python(BEGIN + "threading.Event().wait()") as (_, pid):
        settled(pid, "futex")
        tracer = (
            "import ctypes, os, sys\n"
            f"assert ctypes.CDLL(None).ptrace(0x4206, {pid}, 0, 0) == 0\n"
            "print('ready', os.getpid(), flush=True); sys.stdin.read()\n"
        )
        with python(tracer, stdin=subprocess.PIPE):
            assert ask_timer.answer(pid, os.getpid()) == "None"
        assert found_out(pid).armed is False


def test_another_user_is_not_permitted():
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with python(BEGIN + "threading.Event().wait()") as (_, pid):
        settled(pid, "futex")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os.write(writing, ask_timer.answer(pid, os.getpid()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 99) == b"PermissionError"
        os.close(reading)
        os.close(writing)


def test_an_ancestor_asks_itself_where_the_program_may_not(monkeypatch):
    """As Yama has it: what descends from us may be traced by us, and by no other process."""
    with python(BEGIN + "signal.alarm(600); threading.Event().wait()") as (_, pid):
        settled(pid, "futex")
        monkeypatch.setattr(real_timer, "_asked", lambda pids: f"{pid} PermissionError\n")
        assert found_out(pid).armed is True
        monkeypatch.setattr(ask_timer, "descends", lambda pid, above: False)
        assert pid not in real_timer.timers([pid])


def test_one_that_is_gone_says_nothing():
    assert not real_timer.timers([2**22 - 7])


CHILD = (
    "child = os.fork()\nif child == 0:\n    {arm}\n    threading.Event().wait()\n"
    "os.waitpid(child, 0)"
)
AFTER_EXEC = (
    "child = os.fork()\nif child == 0:\n    {arm}\n    os.execv(sys.executable, [sys.executable,"
    " '-c', 'import threading; threading.Event().wait()'])\nos.waitpid(child, 0)"
)


def proofs(pid, seconds):
    """Whether a supervisor's looks prove it dead within so many seconds."""
    prover, end = Prover(Gatherer(pid)), time.monotonic() + seconds
    while time.monotonic() < end:
        if prover.look(still=True) is not None:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("code", [CHILD, AFTER_EXEC], ids=["forked", "started by exec"])
def test_a_child_that_is_waited_for_is_asked_for_its_timer(code):
    with python(BEGIN + code.format(arm="signal.alarm(600)")) as (_, pid):
        assert not proofs(pid, 5)
    with python(BEGIN + code.format(arm="pass")) as (_, pid):
        assert proofs(pid, 60)


FULL = (
    "r, w = os.pipe()\n"
    "child = os.fork()\n"
    "if child == 0:\n"
    "    os.close(r)\n"
    "    {arm}\n"
    "    while True: os.write(w, bytes({count}))\n"
    "{beside}\n"
    "os.waitpid(child, 0)"
)


def full(count=100, arm="pass", beside="pass"):
    """A parent that waits for a child, which writes into a pipe that the parent has to read."""
    return python(BEGIN + FULL.format(count=count, arm=arm, beside=beside))


@pytest.mark.parametrize("count", [1, 4096])
def test_a_full_pipe_whose_reader_waits_for_the_end_of_its_writer_is_proven(count):
    with full(count) as (_, pid):
        assert proofs(pid, 60)


@pytest.mark.parametrize(
    "more",
    [
        {"arm": "signal.alarm(600)"},
        {"count": 5000},
        {"beside": "threading.Thread(target=time.sleep, args=(600,)).start()"},
        {"beside": "os.fork() or time.sleep(600)"},
    ],
    ids=["an alarm", "a part may be in it", "another thread may read", "another process may read"],
)
def test_a_full_pipe_is_not_proven_where_it_may_come_to_an_end(more):
    with full(**more) as (_, pid):
        assert not proofs(pid, 5)


def test_there_is_no_proof_while_the_timer_is_not_known(monkeypatch):
    monkeypatch.setattr(real_timer, "timers", lambda pids: {})
    with python(BEGIN + CHILD.format(arm="pass")) as (_, pid):
        assert not proofs(pid, 5)


def test_whom_nobody_waits_for_is_not_asked(monkeypatch):
    monkeypatch.setattr(real_timer, "timers", lambda pids: pytest.fail("it was asked"))
    with python(BEGIN + "threading.Event().wait()") as (_, pid):
        assert proofs(pid, 60)
