"""Reading /proc: what is there is seen, what is not raises nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from harness.supervise import observe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.supervise import procfs  # noqa: E402


def sleeper(code="import time; time.sleep(600)"):
    return subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); " + code], stdout=subprocess.PIPE
    )


def test_a_process_and_its_descendants_parents_first():
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with sleeper(nested) as child:
        child.stdout.readline()
        try:
            while len(family := procfs.processes([os.getpid()])) < 3:
                pass
            assert family[0].pid == os.getpid()
            by_pid = {process.pid: process for process in family}
            assert by_pid[child.pid].ppid == os.getpid()
            (grandchild,) = [process for process in family if process.ppid == child.pid]
            assert family.index(grandchild) > family.index(by_pid[child.pid])
            assert procfs.processes([child.pid, os.getpid()])[0].pid == child.pid
        finally:
            for process in procfs.processes([child.pid]):
                os.kill(process.pid, 9)


def test_children_are_found_on_a_kernel_that_does_not_list_them(monkeypatch):
    monkeypatch.setattr(procfs, "_LISTED", "no-such-file")
    with sleeper() as child:
        child.stdout.readline()
        try:
            assert child.pid in {process.pid for process in procfs.processes([os.getpid()])}
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
            (me, *_) = procfs.processes([os.getpid()], deep=True)
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
    finally:
        held.set()
        thread.join()


def test_a_name_with_parentheses_and_spaces_is_no_trap():
    code = "open('/proc/self/comm', 'w').write(') R 1 (x'); print('named', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        (seen,) = procfs.processes([child.pid])
        assert seen.name == ") R 1 (x"
        assert seen.ppid == os.getpid()


def test_the_gone_are_left_out():
    with sleeper() as child:
        child.stdout.readline()
        child.kill()
    assert procfs.processes([child.pid]) == ()
    assert procfs.processes([2**22 + 1, os.getpid()])[0].pid == os.getpid()


def test_the_machine_has_memory():
    seen = observe.machine()
    assert seen.available > 0
    assert seen.swap_used >= 0


def test_psutil_sees_what_proc_shows():
    """The way taken on macOS, tried where it can be."""
    ours, theirs = procfs.processes([os.getpid()])[0], observe._family(os.getpid())[0]
    assert (ours.pid, ours.ppid) == (theirs.pid, theirs.ppid)
    assert len(ours.threads) == len(theirs.threads)
    assert theirs.cpu_s == pytest.approx(ours.cpu_s, abs=0.5)
