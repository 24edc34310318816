"""Reading /proc: what is there is seen, what is not raises nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.observe import portable, processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.observe import linux  # noqa: E402
from harness.observe.linux import deep, files, namespaces, reading, tree  # noqa: E402


def sleeper(code="import time; time.sleep(600)"):
    return subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); " + code], stdout=subprocess.PIPE
    )


def test_a_process_and_its_descendants_parents_first():
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with sleeper(nested) as child:
        child.stdout.readline()
        try:
            # The process of the tests may have other children.
            while len(linux.processes([child.pid])) < 2:
                pass
            family = linux.processes([os.getpid()])
            assert family[0].pid == os.getpid()
            by_pid = {process.pid: process for process in family}
            assert by_pid[child.pid].ppid == os.getpid()
            (grandchild,) = [process for process in family if process.ppid == child.pid]
            assert family.index(grandchild) > family.index(by_pid[child.pid])
            assert linux.processes([child.pid, os.getpid()])[0].pid == child.pid
        finally:
            for process in linux.processes([child.pid]):
                os.kill(process.pid, 9)


def test_children_are_found_on_a_kernel_that_does_not_list_them(monkeypatch):
    monkeypatch.setattr(tree, "_LISTED", "no-such-file")
    with sleeper() as child:
        child.stdout.readline()
        try:
            assert child.pid in {process.pid for process in linux.processes([os.getpid()])}
        finally:
            child.kill()


def test_of_many_threads_none_is_asked_for_its_children_but_by_a_deep_look(monkeypatch):
    """The threads of this process are made out to be more than there are processes."""
    monkeypatch.setattr(tree, "_MANY", 0)
    monkeypatch.setattr(reading, "numbers", lambda folder: [])
    asked = []
    read = reading.read
    monkeypatch.setattr(reading, "read", lambda path: asked.append(path) or read(path))
    with sleeper() as child:
        child.stdout.readline()
        try:
            found = {process.pid for process in linux.processes([os.getpid()])}
            assert child.pid in found
            assert not [path for path in asked if path.endswith("children")]
            assert child.pid in {p.pid for p in linux.processes([os.getpid()], deep=True)}
            listed = Path(f"/proc/self/task/{os.getpid()}/children").exists()
            assert bool([path for path in asked if path.endswith("children")]) is listed
        finally:
            child.kill()


def test_a_child_that_the_kernel_lists_and_hides_is_told_of(monkeypatch):
    with sleeper() as child:
        child.stdout.readline()
        read = reading.read
        monkeypatch.setattr(
            reading, "read", lambda path: b"" if f"/{child.pid}/" in path else read(path)
        )
        try:
            world = linux.world(os.getpid())
            assert child.pid in world.unseen
            assert child.pid not in {process.pid for process in world.processes}
            # What is asked for and has gone is no child that hides.
            assert linux.world(child.pid).unseen == ()
        finally:
            child.kill()


def test_what_it_says_of_ourselves_is_true():
    held = threading.Event()
    thread = threading.Thread(target=held.wait, name="waiter")
    thread.start()
    try:
        # The thread may not yet have come to its wait.
        end = time.monotonic() + 60
        while time.monotonic() < end:
            (me, *_) = linux.processes([os.getpid()], deep=True)
            waiting = [t for t in me.threads if t.tid == thread.native_id]
            if waiting[0].state == "S" and waiting[0].syscall is not None:
                break
        assert len(me.threads) >= 2
        assert me.rss > 1 << 20
        assert me.cpu_s > 0
        assert 0 < me.io_main <= me.io_bytes
        assert waiting[0].state == "S"
        assert waiting[0].syscall is not None
        assert waiting[0].switches >= 1
        assert waiting[0].wchan is None or waiting[0].wchan == "" or "futex" in waiting[0].wchan
        assert all(one.wchan is None for one in linux.processes([os.getpid()])[0].threads)
    finally:
        held.set()
        thread.join()


def test_a_name_with_parentheses_and_spaces_is_no_trap():
    code = "open('/proc/self/comm', 'w').write(') R 1 (x'); print('named', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        (seen,) = linux.processes([child.pid])
        assert seen.name == ") R 1 (x"
        assert seen.ppid == os.getpid()


def test_the_gone_are_left_out():
    with sleeper() as child:
        child.stdout.readline()
        child.kill()
    assert linux.processes([child.pid]) == ()
    assert linux.processes([2**22 + 1, os.getpid()])[0].pid == os.getpid()


def test_the_machine_has_memory():
    seen = processes.machine()
    assert seen.available > 0
    assert seen.swap_used >= 0


def test_psutil_sees_what_proc_shows():
    """The way taken on macOS, tried where it can be."""
    ours, theirs = linux.processes([os.getpid()])[0], portable.family(os.getpid())[0]
    assert (ours.pid, ours.ppid) == (theirs.pid, theirs.ppid)
    assert len(ours.threads) == len(theirs.threads)
    assert theirs.cpu_s == pytest.approx(ours.cpu_s, abs=0.5)


HARMLESS = {(1, minor) for minor in (3, 5, 7, 8, 9)} | {(5, 0), (5, 1), (5, 2)}


@given(
    st.one_of(
        st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1)),
        st.tuples(st.integers(0, 260), st.integers(0, 300)),
    )
)
def test_any_device_but_the_harmless_ones_works_on_its_own(numbers):
    terminal = numbers[0] == 4 or 136 <= numbers[0] <= 143
    assert files._harmless(numbers) == (terminal or numbers in HARMLESS)


@given(st.sets(st.sampled_from(sorted(signal.valid_signals()))))
def test_a_handler_for_a_signal_that_files_send_is_seen_among_any_others(caught):
    mask = b"%016x" % sum(1 << (one - 1) for one in caught)
    told = deep._called({b"SigCgt": [mask]})
    assert len(told) == len(caught & {signal.SIGIO, signal.SIGURG})


@given(st.sets(st.integers(1, 64)))
def test_any_signal_that_others_send_counts_but_those_of_the_c_library(caught):
    mask = b"%016x" % sum(1 << (one - 1) for one in caught)
    told = deep._handlers({b"SigCgt": [mask]})
    ours = {"SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM"}
    named = {name for name in told if not name.startswith("SIGRTMIN")}
    assert named & ours == {one for one in ours if getattr(signal, one) in caught}
    real_time = [one for one in caught if one >= signal.SIGRTMIN]
    assert sum(name.startswith("SIGRTMIN") for name in told) == len(real_time)
    assert deep._handlers({}) is None


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 20))
def test_unlisted_timers_are_none_only_where_their_user_has_nothing_queued(held, most):
    status = {b"SigQ": [b"%d/%d" % (held, most)]}
    assert deep._timers(2**22 + 1, status) == (0 if held == 0 else None)


def test_timers_that_cannot_be_read_are_unknown(monkeypatch):
    assert deep._timers(os.getpid(), {}) is not None
    assert deep._timers(2**22 + 1, {}) is None
    monkeypatch.setattr(deep, "_TIMERS", "fd")  # a folder: reading it fails
    assert deep._timers(os.getpid(), {b"SigQ": [b"0/9"]}) is None


def test_what_a_file_is_does_not_depend_on_the_call_that_tells_it(monkeypatch, tmp_path):
    paths = [str(tmp_path), __file__, "/dev/null", "/dev/urandom"]
    seen = [files.kind_of(path) for path in paths]
    monkeypatch.setattr(files, "_statx", None)
    for path, (mode, numbers) in zip(paths, seen, strict=True):
        other, others = files.kind_of(path)
        assert stat.S_IFMT(mode) == stat.S_IFMT(other)
        assert numbers == others or not stat.S_ISCHR(mode)
    with pytest.raises(FileNotFoundError):
        files.kind_of(str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"futex_do_wait", "futex_do_wait"),
        (b"poll_schedule_timeout.constprop.0", "poll_schedule_timeout"),
        (b"do_sigtimedwait.isra.0", "do_sigtimedwait"),
        (b"0", ""),
        (b"", None),
    ],
)
def test_a_wait_is_named_without_what_the_compiler_adds(monkeypatch, text, name):
    monkeypatch.setattr(reading, "read", lambda path: text)
    assert tree._wchan("/proc/1/task/1") == name


STATUS = {b"SigBlk": [b"0000000000000002"], b"SigPnd": [b"0"], b"ShdPnd": [b"0000000000000002"]}


def test_who_takes_an_alarm_does_not_block_it_meanwhile():
    """The kernel shows no signal as blocked to which the thread waits just now."""
    waits = "signal.pthread_sigmask(signal.SIG_BLOCK, [{0}]); signal.sigwait([{0}])"
    for name, taken in (("signal.SIGALRM", True), ("signal.SIGUSR1", False)):
        with sleeper(f"import signal; {waits.format(name)}") as child:
            child.stdout.readline()
            try:
                while b"sigtimedwait" not in reading.read(f"/proc/{child.pid}/wchan"):
                    pass
                assert deep.world(child.pid).surroundings[child.pid].alarm_blocked is taken
            finally:
                child.kill()


def test_a_process_that_is_written_out_as_a_core_has_been_struck_by_a_signal():
    # It still stands in the call that the signal has interrupted, as long as its core takes.
    assert deep._pending({**STATUS, b"CoreDumping": [b"0"]}) is False
    assert deep._pending({**STATUS, b"CoreDumping": [b"1"]}) is True
    assert deep._pending(STATUS) is False  # a kernel before 4.15
    assert b"CoreDumping" in reading.read("/proc/self/status")


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("202 0x7f0 0x80 0x2 0x0 0x0 0x0 0x7ffe00000000 0x7f0000000000", 202),
        # Go's: no libc, and a stack of its own.
        ("202 0x5c0 0x80 0x0 0x0 0x0 0x0 0xc000000000 0x462000", 202),
        ("-1 0x7ffe00000000 0x7f0000000000", -1),
        ("247 0xf7f40000 0x1 0x1 0x8049100 0x0 0x0 0xffd3e1c0 0x804808f", None),
        ("running", None),
        ("", None),
    ],
)
def test_the_numbers_of_calls_are_those_of_64_bits_alone(tmp_path, line, call):
    (tmp_path / "syscall").write_text(line)
    assert tree._syscall(str(tmp_path))[0] == call


@pytest.mark.parametrize(
    ("code", "status", "counted"),
    [
        ("import os; os._exit(3)", 3 << 8, False),
        ("import os; os._exit(0)", 0, False),
        ("import os; os.kill(os.getpid(), 9)", 9, True),
        ("import os; os.kill(os.getpid(), 15)", 15, False),
    ],
)
def test_the_end_of_a_child_that_nobody_has_asked_for_is_read(code, status, counted):
    with sleeper(code) as child:
        while not (found := linux.processes([child.pid])) or found[0].state != "Z":
            time.sleep(0.01)
        more = deep.more(found[0])
        assert more is not None
        assert more.status == status
        assert counted or more.oom_kills is None


def test_a_living_process_has_no_end(monkeypatch):
    (own,) = linux.processes([os.getpid()])[:1]
    assert deep.more(own).status is None
    with sleeper("import os; os._exit(0)") as child:
        while not (found := linux.processes([child.pid])) or found[0].state != "Z":
            time.sleep(0.01)
        # The kernel shows 0 to another user, whatever the end was.
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 77)
        assert deep.more(found[0]).status is None


def test_what_each_thread_has_done_is_read():
    own = next(one for one in tree.processes([os.getpid()]) if one.pid == os.getpid())
    before = deep.more(own)
    with open("/dev/null", "wb") as nothing:
        nothing.write(bytes(5000))
        nothing.flush()
    sum(range(300_000))
    after, tid = deep.more(own), threading.get_native_id()
    assert after.ran[tid] > before.ran[tid]
    assert after.io[tid][1] - before.io[tid][1] >= 5000
    assert after.io[tid][0] > before.io[tid][0], "these files themselves were read"


def test_a_child_that_is_waited_for_has_our_number_whatever_its_parent_calls_it(monkeypatch):
    """A process of a PID namespace of its own gives the number that the child has there."""
    files = {
        "/proc/500/status": b"Name:\tinit\nNSpid:\t500\t1\n",
        "/proc/500/task/500/children": b"510 511 ",
        "/proc/510/status": b"NSpid:\t510\t7\n",
        "/proc/511/status": b"NSpid:\t511\t8\t1\n",
        "/proc/600/status": b"NSpid:\t600\n",
    }
    monkeypatch.setattr(reading, "read", lambda path: files.get(path, b""))
    monkeypatch.setattr(reading, "numbers", lambda path: [500])
    any_child = 2**64 - 1

    def wait4(pid, number):
        return namespaces.awaited(pid, "wait4", (number, 0, 0, 0, 0, 0))[0]

    assert [wait4(500, number) for number in (7, 8, 9)] == [510, 511, any_child]
    assert [wait4(500, number) for number in (any_child, 0, 2**32 - 1)] == [any_child, 0, 2**32 - 1]
    assert wait4(600, 7) == 7
    # They are of the type int: a register may hold more.
    high = 5 << 32
    assert [wait4(500, number + high) for number in (7, 9)] == [510, any_child]
    assert namespaces.awaited(500, "waitid", (1 + high, 8 + high, 0, 4, 0, 0))[1] == 511
    assert namespaces.awaited(500, "waitid", (1, 8, 0, 4, 0, 0))[:2] == (1, 511)
    assert namespaces.awaited(500, "waitid", (1, 9, 0, 4, 0, 0))[0] == 0
    assert namespaces.awaited(500, "waitid", (0, 9, 0, 4, 0, 0))[:2] == (0, 9)
    assert namespaces.awaited(500, "futex", (7, 0, 0, 0, 0, 0))[0] == 7
