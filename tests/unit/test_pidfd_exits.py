"""The ends of processes that others have asked for, read through pidfds of real ones."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.model import Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfds are Linux's")

from harness.observe.linux import exits  # noqa: E402


def tells() -> bool:
    """True if this kernel tells the end of a process through a pidfd."""
    with subprocess.Popen(["true"]) as child:
        file = os.pidfd_open(child.pid)
        child.wait()
        try:
            return exits.exit_status(file) is not None
        finally:
            os.close(file)


needs_kernel = pytest.mark.skipif(sys.platform != "linux" or not tells(), reason="needs Linux 6.15")


def opened():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def process(pid):
    return Process(pid=pid, ppid=7, name="loader", state="S", cpu_s=0.0)


@pytest.fixture
def child():
    with subprocess.Popen(["sleep", "600"]) as one:
        yield one
        one.kill()


@needs_kernel
@pytest.mark.parametrize(
    ("first", "progress", "gone", "told"),
    [
        (0.0, 5.0, 6.0, True),  # it was there at the last step
        (0.0, 0.0, 6.0, True),
        (5.5, 5.0, 7.0, True),  # it came later, and stayed
        (5.5, 5.0, 6.0, False),  # a helper that came and went
    ],
)
def test_an_end_is_told_of_what_was_there_before(child, first, progress, gone, told):
    watched = exits.Exits()
    watched.follow([process(child.pid)], first, progress)
    child.kill()
    child.wait()
    watched.follow([], gone, progress)
    assert [(one.pid, one.ppid, one.name, one.status, one.t) for one in watched.ended] == (
        [(child.pid, 7, "loader", 9, gone)] if told else []
    )


@needs_kernel
def test_a_step_makes_the_end_before_it_no_obstacle(child):
    watched = exits.Exits()
    watched.follow([process(child.pid)], 0.0, 0.0)
    child.kill()
    child.wait()
    watched.follow([], 6.0, 0.0)
    assert watched.ended
    watched.follow([], 8.0, 7.0)
    assert watched.ended == ()


@needs_kernel
def test_what_ends_well_is_not_told():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as one:
        watched = exits.Exits()
        watched.follow([process(one.pid)], 0.0, 5.0)
        one.stdin.close()
        one.wait()
        watched.follow([], 6.0, 5.0)
        assert watched.ended == ()


def test_what_has_left_the_tree_and_lives_is_not_told(child):
    watched = exits.Exits()
    watched.follow([process(child.pid)], 0.0, 5.0)
    watched.follow([], 6.0, 5.0)
    assert watched.ended == ()


def test_what_is_no_process_any_more_is_not_followed():
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    watched = exits.Exits()
    watched.follow([process(gone.pid)], 0.0, 5.0)
    watched.follow([], 6.0, 5.0)
    assert watched.ended == ()


def test_no_more_files_are_opened_than_that_and_all_are_closed(child):
    gc.collect()  # files that other tests have left open
    before = opened()
    watched = exits.Exits()
    many = [subprocess.Popen(["sleep", "600"]) for _ in range(exits.MOST + 3)]
    try:
        watched.follow([process(one.pid) for one in many], 0.0, 5.0)
        assert opened() == before + exits.MOST
    finally:
        for one in many:
            one.kill()
            one.wait()
    watched.follow([], 1.0, 5.0)
    assert opened() == before
    watched.follow([process(child.pid)], 2.0, 5.0)
    del watched
    gc.collect()
    assert opened() == before


def test_a_kernel_that_tells_nothing_is_no_error(child, monkeypatch):
    def refuses(*_):
        raise OSError(errno.ENOTTY, "no such ioctl")

    watched = exits.Exits()
    watched.follow([process(child.pid)], 0.0, 5.0)
    monkeypatch.setattr(exits.fcntl, "ioctl", refuses)
    watched.follow([], time.monotonic(), 5.0)
    assert watched.ended == ()


def test_a_platform_without_pidfds_is_no_error(child, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    watched = exits.Exits()
    watched.follow([process(child.pid)], 0.0, 5.0)
    watched.follow([], 6.0, 5.0)
    assert watched.ended == ()
