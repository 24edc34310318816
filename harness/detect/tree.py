"""From an observation to the answer for a whole tree, and for each process in it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from harness.detect import registry
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import Ends, Node
from harness.detect.observation import Observation
from harness.detect.policy import Policy
from harness.detect.ranks.attached import Job, judge_job, ranks_of
from harness.detect.registry import Decision, Subject, decide
from harness.detect.verdicts import FATAL, WORST_FIRST, Answer, Judged
from harness.stacks import wait_site
from harness.stacks.wait_rules import Category


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
    """The place of a job's ranks below the root."""

    @property
    def by_pid(self) -> dict[int, Judged]:
        """The processes by pid."""
        return {judged.pid: judged for judged in self.processes}

    def wait_for_peers(self, pids: Collection[int]) -> bool:
        """True if all these processes wait for other ranks, in a collective."""
        judged = [self.by_pid.get(pid) for pid in pids]
        chains = [one.chain for one in judged if one is not None]
        return 0 < len(chains) == len(judged) and all(
            chain is not None and chain.end.kind is Ends.PEERS for chain in chains
        )


def judge(
    pid: int,
    observed: Observation,
    policy: Policy | None = None,
    apart: frozenset[int] = frozenset(),
) -> Judged:
    """The answer for one process; the waits are not followed into the processes `apart`."""
    facts = Facts(observed, policy or Policy(), apart)
    return describe(pid, facts, decide(Subject(facts, pid)))


def describe(pid: int, facts: Facts, decision: Decision) -> Judged:
    """Add to a decision what is told of every process."""
    says, chain = decision.says, decision.says.chain
    summary, name = says.summary, facts.observed.name(pid)
    if pid != facts.observed.root and chain and chain.links and chain.links[0].name == name:
        # It is told as the end of a sentence that names the process.
        summary = summary.replace(f"{name} ", "", 1)
    captures = facts.observed.stacks.get(pid, ())
    waits = wait_site.explain(captures[-1]) if captures else None
    return Judged(
        pid=pid,
        answer=says.answer,
        summary=summary,
        good=says.good,
        on=chain.on if chain else (),
        decided_by=chain.links[-1].pid if chain and chain.links else pid,
        sure=says.sure,
        chain=chain,
        fingerprint=waits.fingerprint if waits else None,
        evidence=_figures(pid, facts, waits)
        | (chain.evidence() if chain and chain.links else {})
        | says.evidence
        | {"detector": decision.by},
        outcomes=decision.outcomes,
    )


def _figures(pid: int, facts: Facts, waits: wait_site.Waits | None) -> dict[str, Any]:
    process = facts.processes.get(pid)
    if process is None:
        return {}
    moved = facts.motion(pid)
    switches = [pace.switches for pace in moved.threads.values() if pace.switches is not None]
    figures: dict[str, Any] = {
        "watched_s": round(moved.seconds, 2),
        "cpu": round(moved.cpu, 3),
        "io_bytes": moved.io,
        "major_faults": moved.major,
        "minor_faults": moved.minor,
        "switches": sum(switches) if switches else None,
        "threads": len(process.threads),
        "rss": process.rss,
    }
    if waits is not None:
        site = waits.overall
        if process.state in "Tt" and site.category is Category.RUNNING:
            site = msgspec.structs.replace(site, description="was running")
        elif site.category is Category.RUNNING:
            # A wait in code without names looks like work: the kernel knows that it sleeps.
            at = facts.main(pid) if site.main else Node(pid, site.tid or 0)
            site = facts.site(at) or site
        figures["wait_site"] = wait_site.describe(site)
        figures["wait_category"] = site.category.value
        figures["fingerprint"] = waits.fingerprint
    went_on = facts.went_on(facts.main(pid))
    if went_on is not None:
        figures["stacks_moved"] = went_on
    return figures


def judge_tree(observed: Observation, policy: Policy | None = None) -> Tree:
    """The root's answer; where it starts the ranks of a job, the answer for those."""
    pids = [process.pid for process in observed.last.processes]
    facts = Facts(observed, policy or Policy())
    judged = {
        pid: describe(pid, facts, decide(Subject(facts, pid)))
        for pid in dict.fromkeys([*pids, observed.root])
    }
    ranks = ranks_of(observed)
    whole = _by_themselves(ranks, observed, policy)
    judged |= {one.pid: one for one in whole.values()}
    root = judged[observed.root]
    job = judge_job(ranks, whole, observed) if ranks else None
    if job is not None and root.answer not in FATAL:
        first = [pid for rank, pid in observed.ranks.items() if rank in job.culprits]
        return Tree(
            answer=job.answer,
            summary=job.summary,
            good=job.good,
            decided_by=job.decided_by,
            processes=_ordered(judged, [job.decided_by, *first], observed),
            job=job,
        )
    return Tree(
        answer=root.answer,
        summary=root.summary,
        good=root.good,
        decided_by=root.decided_by,
        processes=_ordered(judged, [root.decided_by], observed),
        job=job,
    )


def unasked(observed: Observation, policy: Policy | None = None) -> frozenset[int]:
    """The processes to be asked for their timers: before a deadlock can be proven, and where only
    a timer could end the wait."""
    facts = Facts(observed, policy or Policy())
    ranks = [pid for pid in ranks_of(observed).values() if pid is not None]
    pids = dict.fromkeys([observed.root, *ranks])
    return frozenset().union(*(registry.unasked(Subject(facts, pid)) for pid in pids))


def _by_themselves(
    ranks: Mapping[int, int | None], observed: Observation, policy: Policy | None
) -> dict[int, Judged]:
    """The answer for each rank that is there. No wait is followed from one into another: the job
    is judged by all of them."""
    alive = {rank: pid for rank, pid in ranks.items() if pid is not None}
    return {
        rank: judge(pid, observed, policy, frozenset(alive.values()) - {pid})
        for rank, pid in alive.items()
    }


def _ordered(
    judged: Mapping[int, Judged], first: Sequence[int], observed: Observation
) -> tuple[Judged, ...]:
    """The deciding ones, then by how few are in the same place, then the worst; launchers last."""
    alike = Counter(_kind(one) for one in judged.values())
    order = {pid: index for index, pid in enumerate(judged)}
    there = [one for one in judged.values() if one.answer is not Answer.ENDED]
    return tuple(
        sorted(
            there or [judged[observed.root]],
            key=lambda one: (
                first.index(one.pid) if one.pid in first else len(first),
                one.pid == observed.root and bool(one.on or observed.ranks),
                alike[_kind(one)],
                WORST_FIRST.index(one.answer),
                order[one.pid],
            ),
        )
    )


def _kind(one: Judged) -> tuple[Answer, str | None]:
    return one.answer, one.fingerprint
