"""What is left of a wait whose timeout counts from its begin."""

from __future__ import annotations

import ctypes
import math
import os
import struct
import time

import pytest
from observations import process, thread

from harness import syscalls
from harness.observe.linux import reading
from harness.observe.linux.timeouts import Left, relative, wakes_in

ABSOLUTE, BITSET, LOCK_PI, PRIVATE = 1, 9, 6, 128
SLEEP = (1, 0, 0x7FFC, 0, 0, 0)


def number(called: str, arch: str = "x86_64") -> int:
    return {name: n for n, name in syscalls.TABLES[arch].items()}[called]


def sleeping(wakes_in=35.0, args=SLEEP, **fields):
    given = {"syscall": number("clock_nanosleep"), "args": args, "switches": 7}
    return process(1, thread(1, wakes_in=wakes_in, **{**given, **fields}))


def left(*looks):
    """Of the main thread at the last of `looks`, pairs of a time and the process."""
    clock = Left("x86_64")
    for t, seen in looks:
        (found,) = clock.of([seen], t)
    return found.threads[0].wakes_in


def test_a_relative_timeout_runs_out_from_the_first_look_on():
    one = sleeping()
    assert left((100.0, one)) == 35.0
    assert left((100.0, one), (110.0, one)) == pytest.approx(25.0)
    assert left((100.0, one), (110.0, one), (130.0, one)) == pytest.approx(5.0)
    assert left((100.0, one), (140.0, one)) == 0.0


def test_an_absolute_one_has_run_out_by_itself():
    args = (1, ABSOLUTE, *SLEEP[2:])
    assert left((100.0, sleeping(35.0, args)), (110.0, sleeping(25.0, args))) == 25.0


@pytest.mark.parametrize("change", [{"switches": 8}, {"args": (0, *SLEEP[1:])}])
def test_another_wait_begins_anew(change):
    assert left((100.0, sleeping()), (110.0, sleeping(**change))) == 35.0


def test_a_wait_that_was_not_seen_in_between_is_another_one():
    away = sleeping(None, syscall=None, args=())
    assert left((100.0, sleeping()), (105.0, away), (110.0, sleeping())) == 35.0


def test_what_cannot_be_told_stays_untold():
    unknown = sleeping(None)
    assert left((100.0, unknown), (110.0, unknown)) is None
    uncounted = sleeping(switches=None)
    assert left((100.0, uncounted), (110.0, uncounted)) == 35.0


@pytest.mark.parametrize("arch", syscalls.TABLES)
def test_which_timeouts_count_from_the_begin_of_the_wait(arch):
    def told(called: str, flags: int = 0) -> bool:
        return relative(number(called, arch), (1, flags, 0, 0, 0, 0), arch)

    assert told("clock_nanosleep")
    assert not told("clock_nanosleep", ABSOLUTE)
    assert told("futex")
    assert not told("futex", BITSET)
    assert all(told(one) for one in ("nanosleep", "ppoll", "pselect6", "epoll_pwait"))
    assert told("rt_sigtimedwait")
    assert told("semtimedop")
    assert told("io_uring_enter")
    assert not any(told(one) for one in ("read", "mq_timedreceive", "futex_waitv"))


@pytest.fixture
def at():
    """Keeps a struct timespec in this process, and says at which address."""
    kept = []

    def put(seconds):
        whole = math.floor(seconds)
        raw = struct.pack("<qq", whole, round((seconds - whole) * 1e9))
        kept.append(ctypes.create_string_buffer(raw, len(raw)))
        return ctypes.addressof(kept[-1])

    return put


def told(called, *args):
    """Seconds until a wait of this process ends."""
    every = (*args, *(0,) * (6 - len(args)))
    return wakes_in(os.getpid(), number(called), every, "x86_64")


def test_a_wait_for_a_signal_or_a_semaphore_may_have_a_timeout(at):
    assert told("rt_sigtimedwait", 0, 0, at(25.5), 8) == pytest.approx(25.5)
    assert told("semtimedop", 7, 0, 1, at(25.5)) == pytest.approx(25.5)
    assert told("io_getevents", 1, 1, 1, 0, at(25.5)) == pytest.approx(25.5)
    assert told("io_pgetevents", 1, 1, 1, 0, at(25.5)) == pytest.approx(25.5)
    assert told("rt_sigtimedwait", 0, 0, 0, 8) is None


@pytest.mark.parametrize(("flags", "waits"), [(9, True), (1, False), (9 | 32, False), (9 | 64, 0)])
def test_a_wait_in_an_io_uring_may_have_a_timeout(at, flags, waits):
    """Its argument holds the address of the timeout (linux/io_uring.h). An absolute one, and one
    in memory that was registered, are not read."""
    argument = ctypes.create_string_buffer(struct.pack("<QIIQ", 0, 0, 0, at(25.5)))
    found = told("io_uring_enter", 3, 0, 1, flags, ctypes.addressof(argument), 24)
    assert found == (pytest.approx(25.5) if waits else None)
    assert told("io_uring_enter", 3, 0, 1, flags, 0) is None


def test_a_message_queue_and_a_lock_with_inheritance_wait_until_a_time_of_day(at):
    later = time.time() + 100
    assert 0 < told("mq_timedreceive", 3, 0, 16, 0, at(later)) <= 100
    assert 0 < told("futex", 0, LOCK_PI | PRIVATE, 0, at(later)) <= 100
    assert told("mq_timedreceive", 3, 0, 16, 0, at(1.0)) == 0.0


def test_a_wait_for_several_futexes_says_by_which_clock_it_waits(at):
    for called, first in (("futex_waitv", (0, 1, 0)), ("futex_wait", (0, 0, 0, 2))):
        for clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC):
            later = at(time.clock_gettime(clock) + 100)
            assert 0 < told(called, *first, later, clock) <= 100
        assert told(called, *first, 0, time.CLOCK_MONOTONIC) is None
    assert 0 < told("futex", 0, BITSET | PRIVATE, 0, at(time.monotonic() + 100)) <= 100


@pytest.mark.parametrize("clock", [2**32 - 6, 2**64 - 6, 2**63 + 1])
def test_a_clock_is_an_int_whatever_else_its_register_holds(at, clock):
    """Clocks of the CPU have negative numbers. To ask for one may fail, and raises nothing."""
    for called, first in (("futex_wait", (0, 0, 0, 2)), ("clock_nanosleep", (clock, ABSOLUTE))):
        left = told(called, *first, at(1e9), clock)
        assert left is None or left >= 0.0


def test_a_timeout_that_is_looked_at_when_a_message_comes_is_no_clock(at):
    assert told("recvmmsg", 3, 0, 1, 0, at(25.5)) is None


@pytest.mark.parametrize("shift", [86400, -86400])
def test_in_a_time_namespace_the_clock_shows_another_time(at, monkeypatch, shift):
    """As in a container that was restored on another machine."""
    texts = {f"/proc/{os.getpid()}/timens_offsets": b"monotonic %d 0\nboottime 0 0\n" % shift}
    monkeypatch.setattr(reading, "read", lambda path: texts.get(path, b""))
    later = at(time.monotonic() + shift + 100)
    assert 0 < told("futex", 0, BITSET | PRIVATE, 0, later) <= 100
    assert 0 < told("clock_nanosleep", time.CLOCK_MONOTONIC, ABSOLUTE, later) <= 100
    texts.clear()
    assert told("futex", 0, BITSET | PRIVATE, 0, later) == pytest.approx(max(0, shift + 100), abs=9)
