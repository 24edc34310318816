"""The verdict as findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from harness.detect.ranks.job_state import Case
from harness.model import Finding
from harness.model.finding import error, warning

MANY = 64
"""Ranks that a finding's evidence lists at most."""


def findings(case: Case, summary: str) -> tuple[Finding, ...]:
    """The findings of a job; the reason why it does not go on comes first, if there is one."""
    return (*_why(case, summary), *_differ(case), *_uneven(case, summary), *_slow(case))


def _why(case: Case, summary: str) -> Iterator[Finding]:
    problem = case.problem
    if problem is None:
        return
    waiting = [state.rank for state in case.waiting]
    since = max((state.place.t for state in case.waiting if state.place), default=None)
    followed = [
        {"rank": rank, "kind": fate.kind.word}
        for rank, fate in sorted(case.met.items())
        if rank not in problem.culprits
    ]
    states = [state for state in case.ranks if state.rank in problem.culprits]
    place = states[0].place if states else None
    yield error(
        problem.code,
        summary,
        **_of(problem.culprits),
        hosts=sorted({state.host for state in states if state.host}),
        step=place.step if place else None,
        phase=place.phase if place else None,
        issued=min((state.issued.total for state in states), default=None),
        waiting=waiting[:MANY],
        waited_s=max(0.0, case.now - since) if since is not None else None,
        followed=followed[:MANY],
        **_never(case),
        **problem.evidence,
    )


def _never(case: Case) -> dict[str, Any]:
    """The collective that ranks have not issued and others have."""
    never = case.never
    if never is None:
        return {}
    return {"never_issued": {"n": never.n, "op": never.op, "ranks": list(never.ranks[:MANY])}}


def _differ(case: Case) -> Iterator[Finding]:
    """Different collectives, in a job that something else has ended."""
    mismatch = case.mismatch
    if mismatch is None or (case.problem and case.problem.code == "collective_mismatch"):
        return
    said = error if case.problem is not None or not case.foreign else warning
    yield said("collective_mismatch", mismatch.told, **_of(mismatch.odd), **mismatch.evidence())


def _uneven(case: Case, summary: str) -> Iterator[Finding]:
    """All have ended well, and some of them long before the others."""
    if case.uneven and case.mismatch is None:
        done = {state.rank: state.columns.done for state in case.ranks}
        ranks = [fate.rank for fate in case.uneven]
        steps = [done[rank] for rank in ranks[:MANY]]
        most = max(step for step in done.values() if step is not None)
        yield warning("rank_left_early", summary, **_of(ranks), last_steps=steps, others=most)


def _slow(case: Case) -> Iterator[Finding]:
    for slow in case.slow[:MANY]:
        yield warning("rank_slow", f"rank {slow.rank} {slow.text}", **asdict(slow))


def _of(ranks: Sequence[int]) -> dict[str, Any]:
    return {"ranks": list(ranks[:MANY]), "count": len(ranks)}
