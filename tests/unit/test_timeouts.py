"""What is left of a wait whose timeout counts from its begin."""

from __future__ import annotations

import pytest
from observations import process, thread

from harness import syscalls
from harness.observe.linux.timeouts import Left, relative

ABSOLUTE, BITSET = 1, 9
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
    assert not told("read")
