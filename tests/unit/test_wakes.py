"""The wakes of threads by the time that they have used, and what is made of them."""

from __future__ import annotations

import math

import msgspec
from observations import process, seen, thread

from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import Chain, Ends
from harness.detect.observation import Doings
from harness.detect.policy import Policy
from harness.detect.registry import Subject
from harness.model.world import More
from harness.stacks.parse import parse
from harness.supervise.wakes import Wakes

replace = msgspec.structs.replace
POLICY = Policy()


def sleeper(tid=5, cpu_s=1.0, **fields):
    return thread(tid, syscall=None, wchan=None, switches=None, cpu_s=cpu_s, **fields)


def figures(switches=None, started=9):
    moves = None if switches is None else 7 + switches
    return More(started=started, calls=None if switches is None else 7, moves=moves)


def look(wakes, *threads, switches=None, started=9):
    """The wakes by thread, after one more look."""
    told = wakes.of([process(1, *threads)], {1: figures(switches, started)})
    return told[1].sleeps


def test_a_thread_that_waits_and_has_used_the_cpu_has_waked():
    wakes = Wakes()
    assert look(wakes, sleeper()) == {5: 0}
    assert look(wakes, sleeper()) == {5: 0}
    assert look(wakes, sleeper(cpu_s=1.00001)) == {5: 1}
    assert look(wakes, sleeper(cpu_s=1.5, state="R")) == {5: 1}
    assert look(wakes, sleeper(cpu_s=1.6)) == {5: 2}
    assert wakes.since_step == {5: 2}
    wakes.reset()
    assert wakes.since_step == {}
    assert look(wakes, sleeper(cpu_s=1.7)) == {5: 3}


def test_each_switch_of_its_process_was_to_a_thread_that_alone_has_run():
    wakes = Wakes()
    look(wakes, sleeper(5), sleeper(6), switches=100)
    assert look(wakes, sleeper(5, cpu_s=1.1), sleeper(6), switches=140) == {5: 40, 6: 0}
    # Of two nobody knows to which they were.
    both = sleeper(5, cpu_s=1.2), sleeper(6, cpu_s=1.1)
    assert look(wakes, *both, switches=190) == {5: 41, 6: 1}


def test_what_a_tool_may_have_waked_does_not_count():
    wakes = Wakes()
    look(wakes, sleeper())
    wakes.touched()
    assert look(wakes, sleeper(cpu_s=1.1)) == {5: 0}
    assert look(wakes, sleeper(cpu_s=1.2)) == {5: 1}


def test_another_process_with_the_same_number_begins_anew():
    wakes = Wakes()
    look(wakes, sleeper())
    look(wakes, sleeper(cpu_s=1.1))
    assert look(wakes, sleeper(cpu_s=2.0), started=10) == {5: 0}
    assert wakes.of([process(1, sleeper())], {}) == {}


def test_the_time_that_threads_ran_is_told_with_them():
    told = Wakes().of([process(1, sleeper(cpu_s=1.25))], {1: figures(), 2: figures()})
    assert (told[1].ran, told[2].ran) == ({5: 1.25}, {})


def stack(name, tid=5, within="start  (in dyld)"):
    text = f"Call graph:\n    9 Thread_{tid}\n    + 9 {within} + 4  [0x1]\n"
    text += f"    +   9 {name}  (in libsystem_kernel.dylib) + 8  [0x2]\n"
    return parse("sample", text, tid)


def chain_of(leaf, woken, doings=None, beside=()):
    """The chain of a process on macOS whose main thread is in this call, and has waked so often."""
    threads = [sleeper(5), *([sleeper(6, cpu_s=0.1)] if beside else [])]
    one = process(1, *threads, main=5)
    captured = (*stack(leaf), *beside)
    observed = seen(
        one, shows_waits=False, stacks={1: (captured, captured)}, rearmed=woken,
        more={1: figures(10)}, doings=doings or {},
    )  # fmt: skip
    subject = Subject(Facts(observed), 1)
    starts, followed = subject.starts()
    chain: Chain = follow(starts, subject.facts, followed)
    return chain


def did(seconds=20.0, cpu_s=0.001):
    return Doings(seconds=seconds, wakes=20, cpu_s=cpu_s)


def test_who_sleeps_again_and_again_looks_for_something():
    assert chain_of("__semwait_signal", {5: POLICY.rearmed - 1}).end.kind is Ends.CLOCK
    assert chain_of("__psynch_cvwait", {5: POLICY.rearmed - 1}).end.kind is Ends.DEAD
    for leaf in ("__semwait_signal", "__psynch_cvwait"):
        chain = chain_of(leaf, {5: POLICY.rearmed}, {5: did()})
        assert (chain.end.kind, chain.alive, chain.believed) == (Ends.POLLS, False, True)


def test_it_is_doubted_and_believed_for_half_an_hour_whatever_it_does():
    rearmed = {5: 90}
    early = chain_of("__semwait_signal", rearmed, {5: did(20.0)})
    assert early.end.believed_s == POLICY.beat_believed_s - 20.0
    late = chain_of("__semwait_signal", rearmed, {5: did(POLICY.beat_believed_s)})
    assert not late.believed


def test_nobody_is_seen_to_end_a_wait_beside_one_that_only_looks():
    python = stack("__semwait_signal", 6, "_PyEval_EvalFrameDefault  (in Python)")
    chain = chain_of("__psynch_cvwait", {6: 90}, {6: did()}, beside=python)
    assert (chain.end.kind, chain.alive, chain.believed) == (Ends.POLLS, False, True)
    assert chain.links[0].name == "main"
    # One that sleeps for long may be what it waits for.
    assert chain_of("__psynch_cvwait", {}, beside=python).alive
    # A thread of a library works for nobody's lock.
    library = stack("__semwait_signal", 6)
    chain = chain_of("__psynch_cvwait", {6: 90}, {6: did()}, beside=library)
    assert (chain.end.kind, chain.believed) == (Ends.DEAD, False)


def test_a_thread_that_waits_again_and_again_for_a_lock_may_work_between_its_waits():
    python = stack("__psynch_cvwait", 6, "_PyEval_EvalFrameDefault  (in Python)")
    for seconds, believed in ((20.0, True), (POLICY.beat_believed_s, False)):
        chain = chain_of("__psynch_cvwait", {6: 90}, {6: did(seconds)}, beside=python)
        assert (chain.end.kind, chain.alive, chain.believed) == (Ends.CYCLE, False, believed)
    assert not chain_of("__psynch_cvwait", {}, {6: did()}, beside=python).believed
    told = tuple(replace(one, timeout_s=math.inf) for one in python)
    assert not chain_of("__psynch_cvwait", {6: 90}, {6: did()}, beside=told).believed
