"""The timeouts of waits that no platform shows: told by a worker, or by names of functions."""

from __future__ import annotations

import math
import os
import selectors
import threading
from functools import partial

import msgspec
import pytest
from observations import process, seen, thread

from harness.detect.chain.facts import Facts
from harness.detect.chain.follow import follow
from harness.detect.chain.links import Chain, Ends
from harness.detect.observation import Doings
from harness.detect.policy import Policy
from harness.detect.registry import Subject
from harness.inject.inside import timeouts, variables
from harness.model.world import Link, More
from harness.stacks import joined
from harness.stacks.parse import parse

POLICY = Policy()
LONG = 300.0


def select(kind: type[selectors.BaseSelector], fd: int, timeout: float | None) -> None:
    with kind() as selector:
        selector.register(fd, selectors.EVENT_READ)
        selector.select(timeout)


NAMES = ("SelectSelector", "PollSelector", "EpollSelector", "KqueueSelector")
KINDS = [getattr(selectors, name) for name in NAMES if hasattr(selectors, name)]


@pytest.mark.parametrize(
    ("timeout", "told"), [(LONG, f"{LONG:.3f}"), (None, timeouts.NONE)], ids=["timed", "for ever"]
)
def test_a_process_tells_the_timeouts_of_its_waits(timeout, told):
    end, (read, write) = threading.Event(), os.pipe()
    longer = threading.Thread(target=end.wait, daemon=True)
    waits = [
        partial(end.wait, timeout),
        partial(longer.join, timeout),
        *(partial(select, kind, read, timeout) for kind in KINDS),
    ]
    threads = [longer, *(threading.Thread(target=one, daemon=True) for one in waits)]
    for one in threads:
        one.start()
    try:
        wanted = {f"Timeout of thread {one.ident:#x}: {told}" for one in threads[1:]}
        wanted.add(f"Timeout of thread {longer.ident:#x}: {timeouts.NONE}")
        while not wanted <= {*variables.told().splitlines()}:
            assert all(one.is_alive() for one in threads)
    finally:
        end.set()
        os.write(write, b"x")
        for one in threads:
            one.join()
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    ("timeout", "told"),
    [(LONG, "300.000"), (-1, timeouts.NONE), ("soon", ""), (object(), ""), (True, "")],
    ids=["timed", "none", "text", "object", "bool"],
)
def test_a_timeout_that_is_no_number_is_not_told(timeout, told):
    def wait(timeout):
        yield

    waiting = wait(timeout)
    next(waiting)
    assert timeouts.told(waiting.gi_frame, {waiting.gi_code: 1.0}) == told
    assert timeouts.told(waiting.gi_frame, timeouts.known()) == ""  # none of the known functions


ANSWER = """Thread 0x00000005 (most recent call first):
  File "/lib/threading.py", line 331 in wait
  File "train.py", line 9 in step
Thread 0x00000006 (most recent call first):
  File "train.py", line 9 in loads
Current thread 0x00000007 (most recent call first):
  File "answering.py", line 60 in rests
Variables of thread 0x5: 0123456789abcdef0123456789abcdef
Timeout of thread 0x5: 300.000
Timeout of thread 0x6: none
Variables: all are told
"""


def test_the_answer_of_a_worker_is_read():
    told = {one.tid: one.timeout_s for one in parse("faulthandler", ANSWER, 1)}
    assert told == {5: LONG, 6: math.inf, 7: None}


EVALUATES = "_PyEval_EvalFrameDefault"


def sampled(*names: str, leaf: str = "__psynch_cvwait", waits: bool = True):
    """A thread in these functions, the outermost first, and in the kernel at each look or at all
    but one."""
    lines = [f"    + {'  ' * depth}9 {name}  (in Python) + 4  [0x1]"
             for depth, name in enumerate(names)]  # fmt: skip
    lines.append(f"    + {'  ' * len(names)}{9 if waits else 8} {leaf}"
                 "  (in libsystem_kernel.dylib) + 8  [0x2]")  # fmt: skip
    text = "\n".join(["Call graph:", "    9 Thread_5: Main Thread", *lines, ""])
    return parse("sample", text, 1)


@pytest.mark.parametrize(("waits", "told"), [(True, LONG), (False, None)])
def test_a_timeout_is_that_of_a_thread_that_waited_at_each_look(waits, told):
    native = sampled(EVALUATES, "PyThread_acquire_lock_timed", waits=waits)
    python = msgspec.structs.replace(parse("faulthandler", ANSWER, 1)[0], main=True)
    (one,) = joined.joined(native, [python], {})
    assert one.timeout_s == told


def chain_of(
    stacks, woke: int = 0, seconds: float = 9.0, before: float | None = None,
    trains: tuple[int, int] | None = None, **told: object,
) -> Chain:  # fmt: skip
    """The chain of a process in these stacks; `before`: the timeout that it told a capture ago."""
    captured = tuple(msgspec.structs.replace(one, **told) for one in stacks)
    earlier = tuple(msgspec.structs.replace(one, timeout_s=before) for one in stacks)
    observed = seen(
        process(1, thread(5, syscall=None, wchan=None, switches=None), main=5),
        shows_waits=False, stacks={1: (earlier, captured)}, rearmed={5: woke}, trains=trains,
        more={1: More(started=1, moves=40)}, doings={5: Doings(seconds=seconds, wakes=woke)},
        files={1: (Link(told="a socket", kind="socket", peers=(), reads=None),)},
    )  # fmt: skip
    subject = Subject(Facts(observed), 1)
    starts, followed = subject.starts()
    return follow(starts, subject.facts, followed)


EVENT = sampled(EVALUATES, "PyThread_acquire_lock_timed", "_pthread_cond_wait")
LOOP = sampled(EVALUATES, "select_kqueue_control", leaf="kevent")


def test_a_wait_whose_timeout_is_told_is_believed_until_then():
    for stacks in (EVENT, LOOP):
        chain = chain_of(stacks, timeout_s=LONG)
        assert (chain.end.kind, chain.alive) == (Ends.CLOCK, True)
        assert "with a timeout of 5 min" in chain.describe()
        for other in (POLICY.believed_s + 1, math.inf):
            chain = chain_of(stacks, timeout_s=other)
            assert (chain.alive, chain.believed) == (False, False)
    assert chain_of(EVENT, before=LONG).alive  # the second answer came too late
    # One that is armed again and again is no end that can be waited for.
    assert chain_of(EVENT, woke=POLICY.rearmed, timeout_s=LONG).end.kind is Ends.POLLS


def test_one_that_may_have_a_timeout_stands_a_patience_that_is_shorter_than_the_usual_one():
    early, late = chain_of(LOOP), chain_of(LOOP, seconds=POLICY.clock_believed_s)
    assert (early.end.kind, early.alive, early.believed) == (Ends.NETWORK, False, True)
    assert "waits, perhaps with a timeout, for" in early.describe()
    assert (late.end.kind, late.alive, late.believed) == (Ends.NETWORK, False, False)
    # A lock of Python looks alike with a timeout and without, and is not believed.
    assert not chain_of(EVENT).believed
    # A worker would have told, had it answered.
    assert chain_of(EVENT, trains=(1, 5)).believed
    assert not chain_of(EVENT, trains=(2, 5)).believed
    assert not chain_of(EVENT, trains=(1, 5), timeout_s=math.inf).believed


def test_what_was_told_of_another_wait_says_nothing_of_this_one():
    """Its lines are told, and no timeout: an event for which it waited is over."""
    functions = ("lock_PyThread_acquire_lock", "_pthread_cond_timedwait")
    stacks = sampled(EVALUATES, *functions)
    other = parse("faulthandler", ANSWER, 1)[1].frames
    assert chain_of(stacks, python=other, before=math.inf).believed
    assert not chain_of(stacks, before=math.inf).believed  # nothing is told of it


TIMED = (
    (("std::__1::condition_variable::__do_timed_wait", "_pthread_cond_wait"), "__psynch_cvwait"),
    (("_dispatch_semaphore_wait_slow",), "semaphore_timedwait_trap"),
    (("std::sys::sync::condvar::pthread::Condvar::wait_timeout",), "__psynch_cvwait"),
    ((EVALUATES, "sock_recv", "sock_call_ex"), "poll"),
    ((EVALUATES, "_ssl__SSLSocket_read", "PySSL_select"), "poll"),
)
UNTIMED = (
    (("std::__1::condition_variable::wait", "_pthread_cond_wait"), "__psynch_cvwait"),
    (("std::__1::condition_variable::wait_for", EVALUATES, "PyThread_acquire_lock_timed"),
     "__psynch_cvwait"),
    ((EVALUATES, "sock_recv", "sock_call_ex"), "__recvfrom"),
)  # fmt: skip


@pytest.mark.parametrize(("names", "leaf"), TIMED)
def test_a_function_that_waits_with_a_timeout_may_end_by_it(names, leaf):
    chain = chain_of(sampled(*names, leaf=leaf))
    assert "waits, with a timeout, for" in chain.describe()
    assert (chain.alive, chain.believed) == (False, True)
    assert not chain_of(sampled(*names, leaf=leaf), seconds=POLICY.beat_believed_s).believed


@pytest.mark.parametrize(("names", "leaf"), UNTIMED)
def test_others_have_none(names, leaf):
    assert not chain_of(sampled(*names, leaf=leaf)).believed


def test_the_wait_for_the_interpreters_lock_is_no_clock():
    captured = sampled(EVALUATES, "take_gil", "pthread_cond_timedwait")
    assert not chain_of(captured).believed
