"""Threads that work in a beat: they sleep, do a little, and sleep again. Pure.

A download at a limited rate, a paced loader and a device that is asked now and then use next to
none of the CPU, and so does a loop that looks for something in vain. What a thread does between two
waits tells them apart: it computes, it moves bytes, its variables change. A look whether a file is
there takes some 50 us.

A heartbeat computes and writes as well. So who only may be waited for must do more: a line that it
prints is no work, nor is the work of a library that draws a bar. A library that is waited in may
work. Where nothing tells, it is believed for longer, and not for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from harness.detect.chain import inputs
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import Node
from harness.detect.observation import Doings, Look, Observation
from harness.detect.policy import STANDARD
from harness.model.world import More
from harness.stacks import frame_names, values


class Beat(IntEnum):
    """The strength of what tells that a thread works in its beat."""

    VAIN = 0
    UNSEEN = 1
    """Too little of it was seen."""
    MAY_WORK = 2
    WORKS = 3


def beat(path: Sequence[Node], facts: Facts, known: bool) -> Beat:
    """The belief in the last thread of a way through the waits.

    `known` says that each of its links is certain. Else any thread beyond the first may be the one
    that works, as one that is given lines by another.
    """
    last = path[-1]
    if len(path) == 1:
        return min(_tied(last, facts, passes_on=False), Beat.MAY_WORK)
    if known:
        return _tied(last, facts, passes_on=True)
    return max(_guessed(node, path[:place], facts) for place, node in enumerate(path) if place)


def unchanged(path: Sequence[Node], facts: Facts) -> bool:
    """True if the variables of the last thread of a way could be seen, and never changed; or, where
    they are not shown, if it does not compute and its process has nothing that brings it anything.

    A monitor computes as much as a loader may, and its own variables stay as they are, or are those
    of an object that hides them.
    """
    last = path[-1]
    did = facts.observed.doings.get(last.tid)
    if did is None or did.varied:
        return False
    if did.same or facts.observed.varied.get(last.tid) is False:
        return True
    if facts.observed.shows_waits or did.looks < facts.policy.beat_looks:
        return False
    each = each_s(last, facts)
    rests = each is not None and each < facts.policy.beat_may_work_s
    return rests and not facts.children(last.pid) and inputs.none(last.pid, facts)


def left_s(path: Sequence[Node], facts: Facts) -> float:
    """Seconds for which such a beat is still believed."""
    known = (facts.observed.doings.get(node.tid) for node in path)
    lasted = max((did.seconds for did in known if did is not None), default=0.0)
    return round(max(0.0, facts.policy.beat_believed_s - lasted), 1)


def each_s(node: Node, facts: Facts) -> float | None:
    """Seconds of the CPU that a thread has used between two waits; None where that is unknown."""
    did = facts.observed.doings.get(node.tid)
    return None if did is None or did.cpu_s is None or not did.wakes else did.cpu_s / did.wakes


def _tied(node: Node, facts: Facts, passes_on: bool) -> Beat:
    """The beat of a thread that is waited for with certainty, or that is the one that trains. The
    former may pass on what it writes."""
    did = _believed(node, facts)
    if did is None:
        return Beat.VAIN
    each = each_s(node, facts) or 0.0
    if each >= facts.policy.beat_works_s:
        return Beat.WORKS
    moves = _moves_bytes(did) or (passes_on and bool(did.written))
    may = each >= facts.policy.beat_may_work_s or did.varied or moves
    return Beat.MAY_WORK if may else _in_vain(did, facts)


def _guessed(node: Node, waiting: Sequence[Node], facts: Facts) -> Beat:
    """The beat of a thread that only may be waited for: it must be in code of the user's own, or in
    that of a library in which one of those on the way to it waits."""
    did = _believed(node, facts)
    if did is None or not may_serve(node, waiting, facts):
        return Beat.VAIN
    computes = (each_s(node, facts) or 0.0) >= facts.policy.beat_may_work_s
    changes = did.varied and not did.written
    return Beat.MAY_WORK if computes or changes or _moves_bytes(did) else _in_vain(did, facts)


def may_serve(node: Node, waiting: Sequence[Node], facts: Facts) -> bool:
    """True if a thread that only may be waited for is in code of the user's own, or of a library in
    which one of those that wait is, or nothing shows where it is."""
    stack, site = facts.stack(node), facts.site(node)
    if stack is None or site is None or frame_names.hides_python(stack):
        return True
    python = [frame for frame in stack.frames if frame.python]
    if not python:
        return site.place is not None
    known = {None, *(package for one in waiting for package in _packages(one, facts))}
    return any(not frame.system and frame.installed in known for frame in python)


def _packages(node: Node, facts: Facts) -> set[str]:
    """The installed packages in whose code a thread is."""
    stack = facts.stack(node)
    frames = () if stack is None else stack.frames
    return {frame.installed for frame in frames if frame.installed is not None}


def _in_vain(did: Doings, facts: Facts) -> Beat:
    if not facts.observed.shows_waits:
        return Beat.MAY_WORK  # neither its bytes nor its variables are seen
    return Beat.UNSEEN if did.looks < facts.policy.beat_looks else Beat.VAIN


def _believed(node: Node, facts: Facts) -> Doings | None:
    did = facts.observed.doings.get(node.tid)
    if did is None or not did.wakes or did.seconds >= facts.policy.beat_believed_s:
        return None
    return did


def _moves_bytes(did: Doings) -> bool:
    return (did.read or 0) + (did.written or 0) > STANDARD.trickle * did.seconds


class _Mark(NamedTuple):
    """The counts of a thread when it was first looked at."""

    t: float
    sleeps: int
    armed: int
    ran: float | None
    io: tuple[int, int] | None


class Record:
    """The doings of the threads of a tree since the first inspection of a stall."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int | None, int], _Mark] = {}
        self._varied: set[int] = set()
        self._same: dict[int, bool] = {}
        self._looks: Counter[int] = Counter()
        self._variables: Mapping[int, values.Variables] = {}
        self.doings: dict[int, Doings] = {}

    def learn(self, observed: Observation, variables: Mapping[int, values.Variables]) -> None:
        """Take an inspection, and the variables of some of its processes, by pid."""
        self._varied |= {tid for tid, changed in observed.varied.items() if changed}
        for pid, shown in variables.items():
            self._varied |= shown.bytes
            if (earlier := self._variables.get(pid)) is not None:
                # A beat may be longer than an inspection.
                for tid, alike in values.same(earlier, shown).items():
                    self._same[tid] = alike and self._same.get(tid, True)
                changes = values.varied(earlier, shown).items()
                self._varied |= {tid for tid, changed in changes if changed}
        self._variables = {**self._variables, **variables}
        looks = [look for window in observed.windows for look in window]
        for look in looks:
            for pid, more in look.more.items():
                for tid in more.sleeps:
                    mark = _mark(look, more, tid, observed.rearmed)
                    self._first.setdefault((pid, more.started, tid), mark)
        last = looks[-1]
        before, self.doings = self.doings, {}
        for pid, more in last.more.items():
            for tid in more.sleeps:
                first = self._first[pid, more.started, tid]
                now = _mark(last, more, tid, observed.rearmed)
                known = before[tid].wakes if tid in before else 0
                self._looks[tid] += now.sleeps - first.sleeps > known
                self.doings[tid] = self._since(first, now, tid)

    def _since(self, first: _Mark, now: _Mark, tid: int) -> Doings:
        moved = None if first.io is None or now.io is None else (first.io, now.io)
        return Doings(
            seconds=now.t - first.t,
            wakes=now.sleeps - first.sleeps,
            armed=now.armed - first.armed,
            cpu_s=None if first.ran is None or now.ran is None else now.ran - first.ran,
            read=None if moved is None else moved[1][0] - moved[0][0],
            written=None if moved is None else moved[1][1] - moved[0][1],
            varied=tid in self._varied,
            same=self._same.get(tid, False) and tid not in self._varied,
            looks=self._looks[tid],
        )


def _mark(look: Look, more: More, tid: int, armed: Mapping[int, int]) -> _Mark:
    return _Mark(look.t, more.sleeps[tid], armed.get(tid, 0), more.ran.get(tid), more.io.get(tid))
