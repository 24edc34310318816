"""When the clocks ring that threads wait for, and how often they were armed anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import process, sleeps, thread
from still_worlds import number

from harness.supervise.clocks import Clocks

POLL = {"syscall": number("poll"), "args": (0x7F00, 1, 1000, 0, 0, 0), "wchan": "do_sys_poll"}
RESTART = {"syscall": number("restart_syscall"), "wchan": "hrtimer_nanosleep"}


class Watch:
    """The clocks of one thread, as it is shown from look to look."""

    def __init__(self):
        self.clocks = Clocks("x86_64")

    def look(self, t, switches=40, **fields):
        """What the thread is said to be in."""
        seen = self.clocks.of([process(1, thread(1, switches=switches, **fields))], t)
        return seen[0].threads[0]

    @property
    def armed(self):
        return self.clocks.armed.get(1, 0)


def test_a_clock_that_runs_down_was_armed_once():
    watch = Watch()
    for t in range(10):
        watch.look(float(t), **sleeps(60.0 - t))
    assert watch.armed == 0


def test_a_clock_that_rings_later_each_time_and_after_a_switch_is_armed_anew():
    watch = Watch()
    for t in range(4):
        watch.look(float(t), switches=40 + t, **sleeps(1.0))
    assert watch.armed == 3


def test_a_few_milliseconds_later_are_the_time_that_a_look_takes():
    watch = Watch()
    watch.look(0.0, **sleeps(10.0))
    watch.look(1.0, switches=41, **sleeps(9.04))
    assert watch.armed == 0
    # Of a long one a share: what is left of a timeout is read a moment before the time.
    watch.look(2.0, switches=42, **sleeps(8.1))
    assert watch.armed == 0


def test_a_clock_that_rings_later_without_a_switch_was_only_read_anew():
    watch = Watch()
    watch.look(0.0, **sleeps(10.0))
    watch.look(1.0, **sleeps(10.0))
    assert watch.armed == 0


def test_another_call_with_a_clock_is_armed_anew():
    watch = Watch()
    watch.look(0.0, **sleeps(10.0))
    watch.look(0.5, switches=41, **POLL, wakes_in=1.0)
    watch.look(1.0, switches=42, **sleeps(10.0))
    assert watch.armed == 2


def test_the_waits_for_the_interpreters_lock_arm_no_clock():
    """A main thread that computes beside another one, and then sleeps once."""
    watch = Watch()
    gil = {"syscall": number("futex"), "args": (0x7F00, 137, 0, 64, 0, 0)}
    for t in range(9):
        watch.look(float(t), switches=40 + t, **gil, wakes_in=0.004)
    watch.look(9.0, switches=50, **sleeps(10.0))
    assert watch.armed == 0


def test_a_wait_without_a_clock_in_between_counts_for_nothing():
    watch = Watch()
    watch.look(0.0, **sleeps(10.0))
    assert watch.look(1.0).wakes_in is None
    assert watch.armed == 0


def test_a_step_forgets_what_was_counted():
    watch = Watch()
    for t in range(4):
        watch.look(float(t), switches=40 + t, **sleeps(1.0))
    watch.clocks.reset()
    assert watch.armed == 0
    watch.look(4.0, switches=44, **sleeps(1.0))
    assert watch.armed == 1


def test_a_tool_that_interrupts_a_wait_arms_no_clock():
    """The kernel begins it anew, with all of its time; it rings when it did."""
    watch = Watch()
    watch.look(0.0, **sleeps(10.0))
    watch.clocks.touched()
    assert watch.look(4.0, switches=42, **sleeps(10.0)).wakes_in == 6.0
    assert watch.armed == 0
    # The next look has seen no tool.
    watch.look(5.0, switches=43, **sleeps(10.0))
    assert watch.armed == 1


def test_a_clock_that_has_rung_meanwhile_is_another_one_tool_or_not():
    watch = Watch()
    watch.look(0.0, **sleeps(1.0))
    watch.clocks.touched()
    assert watch.look(4.0, switches=42, **sleeps(1.0)).wakes_in == 1.0
    assert watch.armed == 1


def test_a_wait_that_was_restarted_rings_when_it_did():
    watch = Watch()
    before = watch.look(0.0, **sleeps(10.0))
    after = watch.look(4.0, switches=42, **RESTART, args=before.args)
    assert (after.syscall, after.wakes_in) == (before.syscall, 6.0)
    assert watch.look(12.0, switches=42, **RESTART, args=before.args).wakes_in == 0.0
    assert watch.armed == 0


@pytest.mark.parametrize("args", [(7, 7, 7, 0, 0, 0), ()])
def test_a_restarted_wait_of_which_nothing_is_known_is_left_as_it_is(args):
    watch = Watch()
    assert watch.look(0.0, **RESTART, args=args).wakes_in is None
    watch.look(1.0, **sleeps(10.0))
    found = watch.look(2.0, **RESTART, args=args)
    assert (found.syscall, found.wakes_in) == (RESTART["syscall"], None)


def test_a_wait_without_a_clock_that_was_restarted_has_none():
    """As `poll`, after a tool has stopped it: it was taken for a sleep, which ends by itself."""
    watch, forever = Watch(), {**POLL, "args": (0x7F00, 2, 2**32 - 1, 0, 0, 0)}
    watch.look(0.0, **forever)
    seen = watch.look(1.0, **RESTART, args=forever["args"])
    assert (seen.syscall, seen.wakes_in) == (POLL["syscall"], None)
    watch.look(2.0, **sleeps(9.0))
    assert watch.look(3.0, **RESTART, args=forever["args"]).syscall == RESTART["syscall"]
    other = Watch()
    other.look(0.0, **forever)
    assert other.look(1.0, **RESTART, args=(1, 0)).syscall == RESTART["syscall"]


def test_a_wait_with_a_clock_that_was_not_seen_before_it_was_restarted_is_not_without_one():
    """A loop polls the same files now without, now with a timeout."""
    watch, forever = Watch(), {**POLL, "args": (0x7F00, 2, 2**32 - 1, 0, 0, 0)}
    watch.look(0.0, **forever)
    seen = watch.look(1.0, **RESTART, args=(0x7F00, 2, 5000, 0, 0, 0))
    assert seen.syscall == RESTART["syscall"]


def test_what_may_not_be_read_is_left_as_it_is():
    watch = Watch()
    watch.look(0.0, **sleeps(10.0))
    assert watch.look(1.0, syscall=None).syscall is None


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.booleans()), min_size=1, max_size=30))
def test_one_wait_is_never_armed_anew_however_often_it_is_looked_at(looks):
    watch, t = Watch(), 0.0
    watch.look(t, **sleeps(100.0))
    for passed, touched in looks:
        t += passed
        if touched:
            watch.clocks.touched()
        watch.look(t, switches=41 if touched else 40, **sleeps(100.0 - t))
    assert watch.armed == 0


def test_the_clock_of_a_thread_that_has_ended_is_none_of_a_later_one_with_its_number():
    clocks = Clocks("x86_64")
    clocks.of([process(1, thread(1, **sleeps(60.0)), thread(2, **sleeps(9.0)))], 0.0)
    clocks.of([process(1, thread(1, **sleeps(60.0)))], 10.0)
    clocks.of([process(1, thread(1, **sleeps(60.0)), thread(2, **POLL, wakes_in=9.0))], 20.0)
    assert clocks.armed[2] == 0


def test_a_timer_that_is_a_file_is_armed_anew_where_it_rings_later():
    clocks = Clocks("x86_64")
    clocks.timers({1: 10.0}, 0.0, 0.3)
    clocks.timers({1: 6.0}, 4.1, 4.2)  # read some time after it was asked for
    assert not clocks.armed.get(1)
    for t in (8.0, 12.0, 16.0):
        clocks.timers({1: 10.0}, t, t)
    assert clocks.armed[1] == 3
    clocks.reset()
    assert not clocks.armed.get(1)
    clocks.of([process(1, thread(2))], 20.0)
    clocks.timers({1: 10.0}, 20.0, 20.0)
    assert not clocks.armed.get(1), "a thread to come may have its number"
