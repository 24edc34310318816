"""Threads that are given something by others, again and again, with little CPU: work. Pure.

A consumer that takes an item every 2 ms sleeps nearly all of the time, and so does a thread that
looks for something in vain. What tells them apart, the certain first:

- A wait without a clock of its own ends because somebody ends it. One in a queue, a lock or a
  future of Python ends for good. One in a condition is begun anew where a heartbeat notifies in
  vain.
- An evaluation on a stream of MLX ends when the thread of a stream has computed.
- The variables of the user's own functions, and the line that they are at, change with the work.
- An exchange is quick, and a heartbeat is slow. Who only looks reads and writes little.

The last ones are no proof: after `exchange_believed_s` they are not believed any more. Nor is a
wait of the main thread that ends now and then, where signals come that would end it in vain.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from harness.detect.activity import Pace
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import End, Ends, Node, Wait
from harness.detect.policy import STANDARD
from harness.model import Thread
from harness.stacks.native_waits import STREAM
from harness.stacks.parse import Frame
from harness.stacks.wait_rules import Category

_FUTEXES = frozenset(("futex", "futex_wait", "futex_waitv"))
_CONDITION = ("threading.py", "wait")
_EVENTS = frozenset(("epoll_wait", "epoll_pwait", "epoll_pwait2"))


class Belief(IntEnum):
    """The strength of what tells that a thread is given something."""

    NONE = 0
    WOKEN = 1
    """It is given something now and then, unless a signal wakes it in vain."""
    QUICK = 2
    """It is quick, or reads and writes much, and nothing speaks against it."""
    SLOW = 3
    """It is given something now and then: its own chain lives, and nobody else's by a guess."""
    SURE = 4


def given(node: Node, thread: Thread, pace: Pace | None, facts: Facts) -> Wait | None:
    """The wait of a thread that is given something again and again; None where it is not."""
    if _evaluates(node, pace, facts):
        return _works("evaluation", "waits for a stream of MLX, which computes")
    belief = _belief(node, thread, pace, facts)
    if belief is Belief.NONE or (belief <= Belief.QUICK and node.tid in facts.observed.vain):
        return None
    code = "given_slowly" if belief in (Belief.WOKEN, Belief.SLOW) else "given"
    return _works(code, "is given something again and again")


def _works(code: str, detail: str) -> Wait:
    return Wait(code=code, detail=detail, ends=(End(kind=Ends.WORKS, detail=detail, sure=False),))


class Beats(NamedTuple):
    """One look at threads that go on in a beat, by their numbers."""

    t: float
    """In seconds."""
    beating: frozenset[int]
    better: frozenset[int]
    """Those that were seen to do more than that."""


def quick(t: float, facts: Facts) -> Beats:
    """The threads that are believed for nothing but that they are quick, or transfer much; and
    those that are believed for more."""
    found: set[int] = set()
    better: set[int] = set()
    for pid in facts.processes:
        for tid, pace in facts.motion(pid).threads.items():
            node = Node(pid, tid)
            if (thread := facts.thread(node)) is None:
                continue
            belief = _belief(node, thread, pace, facts)
            works = pace.wanted >= facts.policy.poll_cpu_share or pace.runnable
            beats = belief in (Belief.WOKEN, Belief.QUICK) or facts.interrupted(node)
            if works or belief > Belief.QUICK or (beats and _evaluates(node, pace, facts)):
                better.add(tid)
            elif beats:
                found.add(tid)
    return Beats(t, frozenset(found), frozenset(better))


def in_vain(looks: Sequence[Beats], share: float = STANDARD.vain_share) -> frozenset[int]:
    """The threads that beat at the last look, at such a share of those over `exchange_believed_s`,
    and did not do more at any: at some looks a beat is too slow to be seen."""
    over: list[Beats] = []
    for look in reversed(looks):
        over.append(look)
        if looks[-1].t - look.t >= STANDARD.exchange_believed_s:
            break
    else:
        return frozenset()
    found = looks[-1].beating.difference(*(one.better for one in over))
    least = share * len(over)
    return frozenset(tid for tid in found if sum(tid in one.beating for one in over) >= least)


def wakes(facts: Facts, pids: Sequence[int]) -> list[int]:
    """Those of the processes `pids` in which a thread is woken, at this look or at one before:
    variables may tell for what."""
    before = {tid for tid, did in facts.observed.doings.items() if did.wakes}
    return [
        pid
        for pid in pids
        if any((one.sleeps or 0) > 0 or t in before for t, one in facts.motion(pid).threads.items())
    ]


def _belief(node: Node, thread: Thread, pace: Pace | None, facts: Facts) -> Belief:
    count = 0 if pace is None else pace.sleeps or 0
    if not count or facts.category(node) in (Category.GIL, Category.COLLECTIVE):
        return Belief.NONE
    if facts.idle(node) and not _python(node, facts):
        return Belief.NONE
    if exchange := _exchange(node, thread, count, facts):
        return exchange
    if not _transfers(node, facts):
        return Belief.NONE
    # Who waits for a disk most of the time is held up by it. A look at a status is not.
    on_disk = pace is not None and 2 * pace.states.count("D") > len(pace.states)
    return Belief.SURE if on_disk else Belief.QUICK


def _exchange(node: Node, thread: Thread, count: int, facts: Facts) -> Belief:
    """The belief that other threads give it something; it has waked `count` times."""
    often = node in facts.often(node.pid)
    moves = facts.moves(node)
    if _is_woken(node, thread, count, facts):
        if moves or _ends_for_good(node, facts):
            if not moves and facts.interrupted(node):
                return Belief.WOKEN
            return Belief.SURE if often else Belief.SLOW
        return Belief.QUICK if often and (moves is None or _beside(node, facts)) else Belief.NONE
    if not often:
        return Belief.NONE
    if moves or (moves is None and _runs_events(node, thread, facts)):
        return Belief.QUICK
    goes = _beside(node, facts) or (moves is None and _beside(node, facts, None))
    return Belief.QUICK if goes else Belief.NONE


def _beside(node: Node, facts: Facts, moves: bool | None = True) -> bool:
    """True if another quick thread of its process, or of a child, `moves`."""
    pids = (node.pid, *facts.children(node.pid))
    found = sum(facts.often_by_moves(pid)[moves] for pid in pids)
    return found > (facts.often(node.pid).get(node, ...) is moves)


def _transfers(node: Node, facts: Facts) -> bool:
    """True if it reads or writes so much between its waits that it does more than look."""
    moved = facts.motion(node.pid)
    return facts.is_main(node) and moved.rate(moved.io_main) >= facts.policy.transfer


def _is_woken(node: Node, thread: Thread, count: int, facts: Facts) -> bool:
    """True if others end its waits: it has no clock, or one that rings much later."""
    call, category = facts.call(thread), facts.category(node)
    if not facts.observed.shows_waits:
        return False  # it may have a clock of its own
    if category is Category.SLEEP or (call and call not in _FUTEXES):
        return False
    if not call and category not in (Category.LOCK, Category.QUEUE):
        return False
    if thread.wakes_in is None:
        return True
    every = facts.motion(node.pid).seconds / count
    # A single time may be the one at which its own clock has rung.
    return count >= facts.policy.rearmed and thread.wakes_in > facts.policy.early_ring * every


def _ends_for_good(node: Node, facts: Facts) -> bool:
    """True if the wait is one of Python that does not begin anew when it was in vain."""
    frames = _python(node, facts)
    own = next((place for place, frame in enumerate(frames) if not frame.system), len(frames))
    library = [(frame.file, frame.function) for frame in frames[:own]]
    # A condition of the user's own: `wait`, maybe below `wait_for`. An event has a `wait` more.
    if not library:
        return bool(frames) and facts.category(node) in (Category.LOCK, Category.QUEUE)
    return library not in ([_CONDITION], [_CONDITION, ("threading.py", "wait_for")])


def _python(node: Node, facts: Facts) -> list[Frame]:
    """The frames of Python on its stack, innermost first."""
    stack = facts.stack(node)
    return [frame for frame in stack.frames if frame.python] if stack is not None else []


def _runs_events(node: Node, thread: Thread, facts: Facts) -> bool:
    """True if it waits for events in a loop of many tasks, of which nothing is on its stack."""
    selects = any(frame.file == "selectors.py" for frame in _python(node, facts))
    return selects or facts.call(thread) in _EVENTS


def _evaluates(node: Node, pace: Pace | None, facts: Facts) -> bool:
    """True if it waits for an evaluation on the CPU, and the thread of a stream has come to an end
    of one; or ran, where the wait itself has ended meanwhile.

    On a loaded machine either may have next to nothing of the CPU.
    """
    if facts.category(node) is not Category.STREAM_EVALUATION:
        return False
    if node.pid in facts.observed.on_gpu:
        return False
    streams = (one for one in facts.others(node) if _is_stream(one, facts))
    paces = [found for one in streams if (found := facts.pace(one)) is not None]
    woken = pace is not None and bool(pace.sleeps)
    return any(one.sleeps or (woken and (one.switches or one.runnable)) for one in paces)


def _is_stream(node: Node, facts: Facts) -> bool:
    """True if it computes for a stream of MLX, and is in no collective."""
    site, stack = facts.site(node), facts.stack(node)
    if site is None or stack is None or site.category is Category.COLLECTIVE:
        return False
    return site.description == STREAM or any(
        "StreamThread::thread_fn" in frame.function for frame in stack.frames
    )
