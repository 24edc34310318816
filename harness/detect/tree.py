"""From the answers for single processes to one for the whole tree. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from harness.detect.observation import Observation
from harness.detect.process_verdict import judge
from harness.detect.ranks.attached import Job, judge_job, ranks_of
from harness.detect.verdicts import FATAL, WORST_FIRST, Answer, Judged, Whole


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for a root and all that descends from it."""

    answer: Answer
    summary: str
    good: bool
    decided_by: int
    """The process whose answer it is."""
    processes: tuple[Judged, ...]
    """Those that matter, the odd one out first."""
    job: Job | None = None
    """Where the ranks of a job are below the root."""

    @property
    def by_pid(self) -> dict[int, Judged]:
        return {one.pid: one for one in self.processes}


def judge_tree(seen: Observation) -> Tree:
    """The root's answer; where it waits for others of the tree, what is to be said of those. Where
    those are the ranks of a job, theirs: a launcher has other things to do than to wait."""
    judged = {one.pid: judge(one.pid, seen) for one in seen.last.processes}
    if seen.root not in judged:
        judged[seen.root] = judge(seen.root, seen)
    root = _whole(seen.root, judged, seen)
    job = _job(judged, seen)
    if job is not None and root.own.answer not in FATAL:
        first = [pid for rank, pid in seen.ranks.items() if rank in job.culprits]
        return Tree(
            answer=job.answer,
            summary=job.summary,
            good=job.good,
            decided_by=job.decided_by,
            processes=_ordered(judged, [job.decided_by, *first], seen),
            job=job,
        )
    return Tree(
        answer=root.answer,
        summary=root.summary,
        good=root.good,
        decided_by=root.deciding.pid,
        processes=_ordered(judged, [root.deciding.pid], seen),
        job=job,
    )


def _job(judged: Mapping[int, Judged], seen: Observation) -> Job | None:
    ranks = ranks_of(seen)
    alive = {rank: pid for rank, pid in ranks.items() if pid is not None}
    whole = {}
    for rank, pid in alive.items():
        others = {one for one in alive.values() if one != pid}
        apart = {one: found for one, found in judged.items() if one not in others}
        whole[rank] = _whole(pid, apart, seen)
    return judge_job(ranks, whole, seen) if ranks else None


def _whole(pid: int, judged: Mapping[int, Judged], seen: Observation) -> Whole:
    own = judged[pid]
    ends = _ends(pid, judged)
    deciding = _deciding([judged[one] for one in ends]) if pid not in ends else own
    return Whole(
        own=own,
        deciding=deciding,
        answer=_answer(own, deciding),
        summary=_summary(own, deciding, seen),
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
            return min(wanted, key=lambda one: WORST_FIRST.index(one.answer))
    return ends[0]


def _answer(root: Judged, deciding: Judged) -> Answer:
    """What another one sleeps for, or waits for itself, the root waits for."""
    if deciding is not root and deciding.answer in (Answer.WAITING, Answer.ASLEEP, Answer.ENDED):
        return deciding.answer if deciding.good else Answer.WAITING
    return deciding.answer


def _summary(root: Judged, deciding: Judged, seen: Observation) -> str:
    if deciding is root:
        return root.summary
    return f"{root.summary}; {seen.name(deciding.pid)} {deciding.summary}"


def _ordered(
    judged: Mapping[int, Judged], first: Sequence[int], seen: Observation
) -> tuple[Judged, ...]:
    """The deciding ones, then by how few are in the same place, then the worst; launchers last."""
    alike = Counter(_kind(one) for one in judged.values())
    order = {pid: index for index, pid in enumerate(judged)}
    return tuple(
        sorted(
            (one for one in judged.values() if one.answer is not Answer.ENDED or len(judged) == 1),
            key=lambda one: (
                first.index(one.pid) if one.pid in first else len(first),
                one.pid == seen.root and bool(one.on or seen.ranks),
                alike[_kind(one)],
                WORST_FIRST.index(one.answer),
                order[one.pid],
            ),
        )
    )


def _kind(one: Judged) -> tuple[Answer, str | None]:
    return one.answer, one.fingerprint
