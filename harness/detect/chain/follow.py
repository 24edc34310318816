"""The chain from the thread that trains to the end that decides. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import filterfalse, islice, takewhile

import msgspec

from harness.detect.chain.bystanders import GIVEN
from harness.detect.chain.cycle import ring
from harness.detect.chain.ended import ended_children
from harness.detect.chain.facts import Facts
from harness.detect.chain.groups import Others
from harness.detect.chain.helpers import runs_a_pool
from harness.detect.chain.links import (
    ALIVE,
    BEST_FIRST,
    LOST,
    Chain,
    ChainLink,
    End,
    Ends,
    Node,
    Wait,
)
from harness.detect.chain.paced import Beat, beat, each_s, left_s, may_serve, unchanged
from harness.detect.chain.waits import wait_of
from harness.text import units

_BY_GUESS = frozenset(
    (Ends.PERSON, Ends.NETWORK, Ends.OUTSIDE, Ends.PROGRAM, Ends.FILE_SYSTEM, Ends.UNKNOWN)
)
"""These say little of a thread that need not have anything to do with the wait."""


_OF_NO_HELP = LOST | {Ends.IDLE, Ends.UNKNOWN, Ends.UNSEEN}
_SLOWLY = "given_slowly"
_BESIDE = frozenset(("poll", _SLOWLY))
"""Waits of a thread that goes on in its own beat: where another one only may wait for it, it says
nothing of that one's wait."""
_LOOKS = frozenset((Ends.POLLS, Ends.SPINS))
"""Ends of a thread that looks for something, again and again."""
_TOLD = 2


class _Reached(msgspec.Struct, frozen=True):
    """An end, and the way to it."""

    end: End
    path: tuple[Node, ...]
    known: bool

    def rank(self, facts: Facts) -> tuple[bool, int, bool, int]:
        """Order of ends: the one that decides comes first."""
        # Who has an executor ask a person waits for the answer, as a loop of events does.
        asks = self.end.kind is Ends.PERSON and runs_a_pool(self.path[-1], facts)
        guessed = not self.known and not asks and self.end.kind in _BY_GUESS
        lost = self.end.kind in LOST or self.end.kind is Ends.IDLE or not self.end.seen
        aside = not facts.is_main(self.path[0])
        return guessed or lost, BEST_FIRST.index(self.end.kind), aside, len(self.path)


def follow(starts: Sequence[Node], facts: Facts, followed: str = "") -> Chain:
    """Follow the waits from `starts`, the threads of which one trains.

    The chain lives if one of them lives. Of several ends the best one decides, for what may still
    go on, does.
    """
    waits: dict[Node, Wait] = {}
    aside: set[int] = set()
    walks = [_Walk(start, facts, waits, aside) for start in starts]
    reached = [one for walk in walks for one in walk.ends()]
    if not reached:
        nothing = End(kind=Ends.UNKNOWN, detail="nothing could be read of it", sure=False)
        return Chain(links=(), end=nothing, followed=followed)
    best = min(reached, key=lambda one: one.rank(facts))
    own = {start.pid for start in starts}
    last = best.path[-1]
    polls = best.end.kind is Ends.POLLS and waits[last].code == "poll"
    sought = next(walk.sought(last) for walk in walks if walk.reached(last)) if polls else ()
    if any(end.kind is Ends.PERSON for node in sought for end in waits[node].ends):
        # It may be the answer that is looked for, and a person may be away for long.
        best = _believed(best, best.end, facts)
    on_the_way = (*(node for walk in walks for node in walk.way), *best.path)
    on = dict.fromkeys([n.pid for n in on_the_way if n.pid not in own] + sorted(aside))
    return Chain(
        links=tuple(_link(node, waits[node], facts) for node in best.path),
        end=best.end,
        all_ends=tuple(dict.fromkeys(one.end for one in reached)),
        followed=followed,
        on=tuple(on),
        ended=() if best.end.kind in ALIVE else ended_children(facts, own | on.keys()),
        clock_believed_s=max(wait.clock_believed_s for wait in waits.values()),
        sought=tuple(_link(node, waits[node], facts) for node in sought),
    )


class _Walk:
    """The ways from one start along the waits, each thread by its shortest."""

    def __init__(self, start: Node, facts: Facts, waits: dict[Node, Wait], aside: set[int]) -> None:
        self._start, self._facts, self._waits, self._aside = start, facts, waits, aside
        self._before: dict[Node, Node | None] = {start: None}
        self._certain = {start: True}
        self._tied = {start: True}
        """The same, where the one other thread of a process that has work is joined."""
        self._joined: set[Node] = set()
        """Threads of which one is waited for until it ends: it may do that slowly."""
        self._opened: set[int] = set()
        """The groups of threads, by identity, all of whose threads are reached."""
        self.way: tuple[Node, ...] = ()
        """The threads that were reached, without those that only may help from beside."""

    def ends(self) -> list[_Reached]:
        """All ends that the start leads to, and those of threads beside the way that may help."""
        beside, others = self._sorted(self._go([self._start]))
        chosen, self.way = self._chosen(beside, others), tuple(self._before)
        may = [node for node in self.way if self._waits[node].may and self._asks(node)]
        if not may:
            return chosen
        # Whoever is on the way for certain is reached by now, and keeps that.
        helped: list[_Reached] = []
        while may:
            reached = len(self._before)
            helped += self._go([other for node in may for other in self._may(node)])
            may = [node for node in islice(self._before, reached, None) if self._waits[node].may]
        beside, others = self._sorted(helped)
        told = [*others, *(_may_work(one, self._facts) for one in beside)]
        return [*chosen, *(one for one in told if self._helps(one))]

    def reached(self, node: Node) -> bool:
        """True if a thread is on one of the ways."""
        return node in self._before

    def sought(self, node: Node) -> list[Node]:
        """The thread that one which polls looks for, and whom that one waits for, and so on, as far
        as each could only mean one of those that were reached from it."""
        found: list[Node] = []
        while len(found) < _TOLD:
            after = [one for one, before in self._before.items() if before == node]
            meant = [one for one in after if self._may_be_meant(one)]
            if len(meant) != 1:
                break
            node = meant[0]
            found.append(node)
        return found

    def _may_be_meant(self, node: Node) -> bool:
        """True if a thread is in a line of the user's, and neither idle nor in its own beat."""
        wait, place = self._waits.get(node), self._facts.place(node)
        if wait is None or wait.code == "idle" or place is None or place.startswith("<"):
            return False
        return not _is_beside(node, self._waits, self._joined, self._facts)

    def _asks(self, node: Node) -> bool:
        """False of a heartbeat beside the wait: what it looks for is nothing that is waited for."""
        return self._certain[node] or not self._looks(node)

    def _looks(self, node: Node) -> bool:
        return any(end.kind in _LOOKS for end in self._waits[node].ends)

    def _may(self, node: Node) -> Iterator[Node]:
        for other in self._new(self._waits[node].may):
            if other.pid not in self._facts.apart:
                self._reach(other, node, certain=False, tied=False)
                yield other

    def _go(self, starts: Iterable[Node]) -> list[_Reached]:
        """The ends that lie behind `starts`, beyond those that were reached before."""
        facts, before, certain = self._facts, self._before, self._certain
        todo = deque(starts)
        found: list[_Reached] = []
        while todo:
            node = todo.popleft()
            wait = self._wait(node)
            ends = wait.ends if certain[node] else [self._guessed(end, node) for end in wait.ends]
            found += [_Reached(end, _path(node, before), certain[node]) for end in ends]
            joins = facts.joins(node)
            if joins:
                self._joined.update(wait.on)
            only = joins and len(wait.on) == 1
            for other in self._new(wait.on):
                if other.pid in facts.apart:
                    name = facts.observed.name(other.pid)
                    peers = End(kind=Ends.PEERS, detail=f"waits for {name}")
                    found.append(_Reached(peers, _path(node, before), certain[node] and wait.known))
                    self._aside.add(other.pid)
                else:
                    tied = self._tied[node] and (wait.known or only)
                    self._reach(other, node, certain=certain[node] and wait.known, tied=tied)
                    todo.append(other)
        return found

    def _guessed(self, end: End, node: Node) -> End:
        """An end of which nobody is known to wait for it."""
        change, left = msgspec.structs.replace, end.left_s or 0.0
        if end.kind is Ends.OUTSIDE:
            # A signal is then no reason to believe in it: many programs have a thread for one.
            return change(end, believed_s=None)
        if end.kind is not Ends.CLOCK or left <= self._facts.policy.alarm_s:
            return end
        waiting = _path(node, self._before)[:-1]
        if self._tied[node] or node in self._joined or may_serve(node, waiting, self._facts):
            return end
        # Such as a `Timer` for the next checkpoint: in nobody's code, it need not be for this wait.
        told = f"wakes in {units.duration(left)}"
        late = change(end, kind=Ends.OUTSIDE, detail=told, left_s=None, sure=False)
        return change(late, believed_s=round(left, 1))

    def _wait(self, node: Node) -> Wait:
        wait = self._waits.get(node)
        if wait is None:
            if node not in self._facts.waits:
                self._facts.waits[node] = wait_of(node, self._facts)
            wait = self._waits[node] = self._facts.waits[node]
        return wait

    def _reach(self, node: Node, before: Node, certain: bool, tied: bool) -> None:
        self._before[node] = before
        self._certain[node] = certain
        self._tied[node] = tied

    def _new(self, on: Sequence[Node]) -> Iterator[Node]:
        """Those of the threads that were not reached yet. Of many threads each may wait for all
        others, so that what they share is opened once."""
        for group in on.groups if isinstance(on, Others) else (on,):
            if isinstance(on, Others):
                if id(group) in self._opened:
                    continue
                self._opened.add(id(group))
            yield from filterfalse(self._before.__contains__, group)

    def _sorted(self, found: Iterable[_Reached]) -> tuple[list[_Reached], list[_Reached]]:
        """The ends of threads that only go on beside the wait, and the others."""
        beside: list[_Reached] = []
        others: list[_Reached] = []
        for one in found:
            node = one.path[-1]
            beat = self._tied[node] and self._waits[node].code == "poll"
            followed = self._certain[node] or beat
            if not followed and _is_beside(node, self._waits, self._joined, self._facts):
                beside.append(one)
            else:
                others.append(_in_a_beat(one, self._waits, self._facts))
        return beside, others

    def _helps(self, one: _Reached) -> bool:
        """True if the end of a thread beside the way tells that it may go on and help. Of one that
        cannot be read, is lost, has nothing to do, or only beats, nothing follows."""
        kind = one.end.kind
        if kind is Ends.POLLS:
            # A monitor works in a beat as well, and is no help to who looks for something.
            looked = any(self._certain[node] and self._looks(node) for node in one.path[:-1])
            return one.end.believed_s is not None and not looked
        seen = one.end.seen and kind not in _OF_NO_HELP
        return seen and not (kind is Ends.CLOCK and self._is_new(one.path[-1]))

    def _is_new(self, node: Node) -> bool:
        """True if a thread was not there yet when the stall was first inspected. A monitor of a
        shell has a new `sleep` for each of its rounds, and a timer of Python a new thread."""
        known, policy = self._facts.observed.doings, self._facts.policy
        first, its = known.get(self._start.tid), known.get(node.tid)
        if first is None:
            return False
        return first.seconds - (its.seconds if its else 0.0) > policy.gap_s

    def _chosen(self, beside: list[_Reached], others: list[_Reached]) -> list[_Reached]:
        facts = self._facts
        if any(one.end.kind is not Ends.IDLE for one in others):
            told = (_may_work(one, facts) for one in beside)
            return [*others, *(one for one in told if one.end.kind is not Ends.WORKS)]
        if beside:
            nobody = _nobody(beside, self._certain, facts)
            return [msgspec.structs.replace(nobody, path=self._to_joined(nobody.path))]
        around, closed = ring(self._start, self._waits)
        if not closed:
            idle = End(kind=Ends.DEAD, detail="and no other thread has work")
            return [*others, _Reached(idle, around, True)]
        names = " and ".join(facts.name(node) for node in dict.fromkeys(around))
        detail = f"{names} wait for one another" if len(set(around)) > 1 else "waits for itself"
        return [*others, _Reached(End(kind=Ends.CYCLE, detail=detail), around, True)]

    def _to_joined(self, way: tuple[Node, ...]) -> tuple[Node, ...]:
        """The way, and the thread whose end is waited for there, if it is the only one that does
        not go on in its own beat: its wait is the one that nobody ends."""
        if not self._facts.joins(way[-1]):
            return way
        may_end = [
            node
            for node in self._waits[way[-1]].on
            if node in self._waits
            and node not in way
            and not _is_beside(node, self._waits, self._joined, self._facts)
        ]
        return (*way, *may_end) if len(may_end) == 1 else way


def _is_beside(
    node: Node, waits: Mapping[Node, Wait], joined: Container[Node], facts: Facts
) -> bool:
    """True if a thread goes on in its own beat, and who only may wait for it gets nothing of it."""
    code = waits[node].code
    if node.tid in facts.observed.bystanders and code in GIVEN:
        return True
    return code in _BESIDE and not (code == _SLOWLY and node in joined)


def _in_a_beat(one: _Reached, waits: Mapping[Node, Wait], facts: Facts) -> _Reached:
    """An end with certain links to it. One that polls may work between its waits."""
    if one.end.kind is not Ends.POLLS or waits[one.path[-1]].code != "poll":
        return one
    belief = beat(one.path, facts, known=True)
    if belief is Beat.VAIN:
        return one
    # Of several children that are waited for, one may be a monitor.
    one_child = all(
        len({other.pid for other in waits[node].on}) < 2
        for node in one.path[:-1]
        if waits[node].code == "child"
    )
    if belief is not Beat.WORKS or not one_child:
        return _believed(one, one.end, facts)
    each = units.duration(each_s(one.path[-1], facts) or 0.0)
    detail = f"works in a beat: it uses the CPU for {each} each time"
    return msgspec.structs.replace(one, end=End(kind=Ends.WORKS, detail=detail, sure=False))


def _may_work(one: _Reached, facts: Facts) -> _Reached:
    """The end of a thread that goes on in its own beat, and that nobody is known to wait for."""
    belief = beat(one.path, facts, known=False)
    if belief is Beat.VAIN:
        return one
    kind = Ends.POLLS if belief is Beat.MAY_WORK else one.end.kind
    return _believed(one, msgspec.structs.replace(one.end, kind=kind, sure=False), facts)


def _believed(one: _Reached, end: End, facts: Facts) -> _Reached:
    end = msgspec.structs.replace(end, believed_s=left_s(one.path, facts))
    return msgspec.structs.replace(one, end=end)


def _nobody(beside: Sequence[_Reached], certain: Mapping[Node, bool], facts: Facts) -> _Reached:
    """The end of a wait of which nobody is known who would end it, beside threads that go on."""
    ways = [tuple(takewhile(certain.__getitem__, one.path)) for one in beside]
    names = list(dict.fromkeys(facts.name(one.path[-1]) for one in beside))
    more = [f"{len(names) - _TOLD} more"] if len(names) > _TOLD else []
    who = " and ".join([*names[:_TOLD], *more])
    only = "only goes on in its own beat" if len(names) == 1 else "only go on in their own beat"
    beliefs = [(beat(one.path, facts, known=False), left_s(one.path, facts)) for one in beside]
    may = [one for one, told in zip(beside, beliefs, strict=True) if told[0] is Beat.MAY_WORK]
    if any(not unchanged(one.path, facts) for one in may):
        kind = Ends.POLLS
        detail = f"nobody is known who would end that wait ({who} {only}, and may work for it)"
    else:
        kind = Ends.DEAD
        detail = f"nobody is seen who would end that wait ({who} {only})"
    left = max((left for belief, left in beliefs if belief is not Beat.VAIN), default=None)
    end = End(kind=kind, detail=detail, sure=False, believed_s=left)
    return _Reached(end, max(ways, key=len), True)


def _path(node: Node, before: Mapping[Node, Node | None]) -> tuple[Node, ...]:
    path = [node]
    while (previous := before[path[-1]]) is not None:
        path.append(previous)
    return tuple(reversed(path))


def _link(node: Node, wait: Wait, facts: Facts) -> ChainLink:
    return ChainLink(
        pid=node.pid,
        tid=node.tid,
        name=facts.name(node),
        wait=wait.code,
        detail=wait.detail,
        place=facts.place(node),
    )
