"""From the answers for single processes to one for the whole tree. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from harness.attach.answers import Answer, Judged
from harness.attach.judge import judge
from harness.attach.seen import Seen

FATAL = (Answer.DEADLOCK, Answer.STOPPED, Answer.TRACED)
"""One of these below is enough: who waits for it waits in vain, whatever the others do."""
_WORST_FIRST = (
    *FATAL,
    Answer.STARVED,
    Answer.STALLED,
    Answer.SPINNING,
    Answer.WAITING,
    Answer.ASLEEP,
    Answer.COMPILING,
    Answer.ALIVE,
    Answer.ENDED,
)


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for a root and all that descends from it."""

    answer: Answer
    summary: str
    good: bool
    decided_by: int
    """The process whose answer it is."""
    processes: tuple[Judged, ...]
    """Those that matter, the odd one out first."""

    @property
    def by_pid(self) -> dict[int, Judged]:
        return {one.pid: one for one in self.processes}


def judge_tree(seen: Seen) -> Tree:
    """The root's answer; where it waits for others of the tree, what is to be said of those."""
    judged = {one.pid: judge(one.pid, seen) for one in seen.last.processes}
    if seen.root not in judged:
        judged[seen.root] = judge(seen.root, seen)
    root = judged[seen.root]
    ends = _ends(seen.root, judged)
    deciding = _deciding([judged[pid] for pid in ends]) if seen.root not in ends else root
    return Tree(
        answer=_answer(root, deciding),
        summary=_summary(root, deciding, seen),
        good=deciding.good,
        decided_by=deciding.pid,
        processes=_ordered(judged, deciding, seen),
    )


def _ends(start: int, judged: Mapping[int, Judged]) -> tuple[int, ...]:
    """What `start` waits for in the end: those that do not themselves wait for one of the tree."""
    ends: dict[int, None] = {}
    visited = set()
    todo = [start]
    while todo:
        pid = todo.pop()
        if pid in visited:
            continue
        visited.add(pid)
        one = judged[pid]
        on = [other for other in one.on if other in judged] if one.answer is Answer.WAITING else []
        todo += on
        if not on:
            ends[pid] = None
    # Those that wait for one another in a ring have no end: then the first of them speaks for it.
    return tuple(ends) or (start,)


def _deciding(ends: list[Judged]) -> Judged:
    for wanted in (
        [one for one in ends if one.answer in FATAL],
        [one for one in ends if one.good and one.answer is not Answer.ENDED],
        [one for one in ends if one.answer is not Answer.ENDED],
    ):
        if wanted:
            return min(wanted, key=lambda one: _WORST_FIRST.index(one.answer))
    return ends[0]


def _answer(root: Judged, deciding: Judged) -> Answer:
    """What another one sleeps for, or waits for itself, the root waits for."""
    if deciding is not root and deciding.answer in (Answer.WAITING, Answer.ASLEEP, Answer.ENDED):
        return deciding.answer if deciding.good else Answer.WAITING
    return deciding.answer


def _summary(root: Judged, deciding: Judged, seen: Seen) -> str:
    if deciding is root:
        return root.summary
    return f"{root.summary}; {seen.name(deciding.pid)} {deciding.summary}"


def _ordered(judged: Mapping[int, Judged], deciding: Judged, seen: Seen) -> tuple[Judged, ...]:
    """The deciding one, then by how few are in the same place, then the worst; launchers last."""
    alike = Counter(_kind(one) for one in judged.values())
    order = {pid: index for index, pid in enumerate(judged)}
    return tuple(
        sorted(
            (one for one in judged.values() if one.answer is not Answer.ENDED or len(judged) == 1),
            key=lambda one: (
                one is not deciding,
                one.pid == seen.root and bool(one.on),
                alike[_kind(one)],
                _WORST_FIRST.index(one.answer),
                order[one.pid],
            ),
        )
    )


def _kind(one: Judged) -> tuple[Answer, str | None]:
    return one.answer, one.fingerprint
