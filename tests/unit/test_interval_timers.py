"""Interval timers that a proof hinges on: who is asked, and how long an answer holds."""

from __future__ import annotations

import time

import msgspec
import pytest

from harness import syscalls
from harness.detect import deadlock
from harness.detect.chain.closure import closed, prove
from harness.detect.chain.links import Node
from harness.detect.observation import Observation
from harness.model import Process, Thread
from harness.model.world import Surroundings, Timers, World
from harness.supervise import interval_timers
from harness.supervise.interval_timers import IntervalTimers

FUTEX, WAIT4 = 202, 61
ALONE = Surroundings(tracer=0, pending=False, alarm=None, timers=0, devices=(), asynchronous=())
change = msgspec.structs.replace


def thread(tid, call=FUTEX, args=(0x7F0000001000, 0x80, 0, 0, 0, 0), switches=5):
    return Thread(
        tid=tid,
        name="python",
        state="S",
        cpu_s=1.0,
        syscall=call,
        args=args,
        switches=switches,
        wchan="futex_do_wait" if call == FUTEX else "do_wait",
    )


def process(pid, ppid, *threads):
    return Process(pid=pid, ppid=ppid, name="python", state="S", cpu_s=1.0, rss=1, threads=threads)


PARENT = process(10, 1, thread(10, WAIT4, (20, 0, 0, 0, 0, 0)))
CHILD = process(20, 10, thread(20))


def looks(*processes, **alarms):
    around = {p.pid: change(ALONE, alarm=alarms.get(f"p{p.pid}")) for p in processes}
    return [World(t=0.3 * n, processes=processes, surroundings=around) for n in range(3)]


KNOWN = Observation(root=10, windows=(), arch="x86_64")


def codes(reasons):
    return [reason.code for reason in reasons]


def test_the_calls_of_these_trees_are_those_that_are_meant():
    assert syscalls.name(FUTEX, "x86_64") == "futex"
    assert syscalls.name(WAIT4, "x86_64") == "wait4"


@pytest.mark.parametrize(
    ("alarm", "code"), [(None, ["timer_unknown"]), (True, ["timer"]), (False, [])]
)
def test_a_child_that_is_waited_for_must_have_no_timer(alarm, code):
    reasons = prove(looks(PARENT, CHILD, p20=alarm), KNOWN)
    assert codes(reasons) == code
    assert deadlock.unasked(reasons) == ({20} if alarm is None else set())


def test_whose_end_wakes_nobody_needs_no_answer():
    assert prove(looks(change(CHILD, pid=10, threads=(thread(10),))), KNOWN) == ()


def test_the_end_of_a_start_may_matter_to_somebody_outside():
    world = looks(change(CHILD, pid=10, threads=(thread(10),)))
    assert closed([Node(10, 10)], world, KNOWN) == ()
    assert codes(closed([Node(10, 10)], world, KNOWN, {10})) == ["timer_unknown"]


def test_nobody_is_asked_while_something_else_is_against_it():
    world = looks(PARENT, CHILD)
    world = [change(w, surroundings=w.surroundings | {20: change(ALONE, timers=1)}) for w in world]
    assert codes(prove(world, KNOWN)) == ["timer", "timer_unknown"]
    assert deadlock.unasked(prove(world, KNOWN)) == frozenset()
    assert deadlock.unasked(()) == frozenset()


def test_all_else_must_be_readable():
    world = [
        change(w, surroundings={10: ALONE, 20: change(ALONE, pending=None)})
        for w in looks(PARENT, CHILD)
    ]
    assert codes(prove(world, KNOWN)) == ["unreadable"]


class Asked:
    """A tree that stands still, and answers."""

    def __init__(self, answers, *seen):
        self.answers = answers
        self.seen = list(seen)
        self.pids = []

    def ask(self, pids):
        self.pids += pids
        given = {pid: self.answers[pid] for pid in pids if pid in self.answers}
        return {
            pid: one if isinstance(one, Timers) else Timers(armed=one) for pid, one in given.items()
        }

    def look(self):
        return self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]


MOVED = change(CHILD, threads=(thread(20, switches=9),))


def asked(tree, pids=(20,)):
    timers = IntervalTimers(tree.ask)
    return timers, timers.ask(pids, tree.look)


@pytest.mark.parametrize("answer", [True, False])
def test_an_answer_holds_while_the_process_stands_still(answer):
    timers, new = asked(Asked({20: answer}, (PARENT, CHILD), (PARENT, MOVED)))
    assert new
    assert timers.of(MOVED) is answer
    assert timers.of(change(CHILD, threads=(thread(20, switches=10),))) is None
    assert timers.of(change(MOVED, threads=(*MOVED.threads, thread(21)))) is None
    assert timers.of(PARENT) is None
    timers.reset()
    assert timers.of(MOVED) is None


TWO = change(CHILD, threads=(thread(20), thread(21)))
AFTER = {
    "two threads have run": change(CHILD, threads=(thread(20, switches=9), thread(21, switches=6))),
    "it waits for something else": change(
        CHILD, threads=(thread(20, args=(8, 0x80, 0, 0, 0, 0), switches=9), thread(21))
    ),
    "a thread has gone": change(CHILD, threads=(thread(20),)),
}


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_an_answer_counts_only_if_nothing_else_has_moved(after):
    timers, new = asked(Asked({20: False}, (PARENT, TWO), (PARENT, after)))
    assert not new
    assert timers.of(after) is None


def test_who_does_not_answer_is_not_asked_for_ever():
    tree = Asked({}, (PARENT, CHILD))
    timers = IntervalTimers(tree.ask)
    assert not any(timers.ask([20], tree.look) for _ in range(9))
    assert tree.pids == [20] * 3
    timers.reset()
    timers.ask([20], tree.look)
    assert tree.pids == [20] * 4


def test_when_a_timer_rings_is_believed_until_then_though_its_process_has_moved(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(interval_timers, "SETTLE_S", 0.0)
    answer = Timers(armed=False, rings_s=20.0)
    timers, new = asked(Asked({20: answer}, (PARENT, TWO), (PARENT, AFTER["two threads have run"])))
    assert new
    assert timers.rings() == {20: 20.0}
    now = 119.0
    assert timers.rings() == {20: 1.0}
    now = 120.0
    assert timers.rings() == {}


def test_a_step_makes_it_unknown_when_a_timer_rings():
    timers, _ = asked(Asked({20: Timers(armed=True, rings_s=20.0)}, (PARENT, CHILD)))
    timers.reset()
    assert timers.rings() == {}


def test_a_step_may_come_while_another_thread_reads_when_timers_ring():
    class Rings(float):
        """At a time at which, just when it is compared, a step comes."""

        def __radd__(self, now):
            return Rings(now + float(self))

        def __gt__(self, now):
            timers.reset()
            return float(self) > now

    soon = Timers(armed=True, rings_s=Rings(20.0))
    timers, _ = asked(Asked({10: soon, 20: soon}, (PARENT, CHILD)), pids=(10, 20))
    assert timers.rings().keys() == {10, 20}
    assert timers.rings() == {}


def test_a_timer_that_was_disarmed_since_does_not_ring():
    tree = Asked({20: Timers(armed=True, rings_s=20.0)}, (PARENT, CHILD))
    timers, _ = asked(tree)
    tree.answers[20] = Timers(armed=False)
    assert timers.ask([20], tree.look)
    assert timers.rings() == {}
    assert timers.of(CHILD) is False
