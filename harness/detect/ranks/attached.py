"""Several ranks below one process: what each does, and because of whom the job stands still. Pure.

Nothing is known of their steps. What tells them apart is what their processes do, which of them are
gone, and who waits for the others: `harness.detect.ranks` names the culprit by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from harness.detect.activity import has_ended, process_at
from harness.detect.observation import Observation
from harness.detect.ranks import RankState, judge
from harness.detect.ranks.phrases import are, named
from harness.detect.verdicts import FATAL, WORST_FIRST, Answer, Judged
from harness.model import Finding, RankResult, Standing
from harness.model.finding import error
from harness.stacks import wait_site
from harness.stacks.wait_rules import Category
from harness.stacks.wait_site import WaitSite

TOLD = 2
"""Culprits of which is told what they do."""
_HELD = (Answer.STOPPED, Answer.TRACED)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for all ranks together."""

    answer: Answer
    summary: str
    good: bool
    decided_by: int
    """The process whose answer it is: where a rank is gone, the first that waits for it."""
    culprits: tuple[int, ...]
    reason: str | None
    """The code of the finding; None while the job goes on."""
    ranks: tuple[RankResult, ...]
    findings: tuple[Finding, ...]


def ranks_of(seen: Observation) -> dict[int, int | None]:
    """The process of each rank, by rank in order; None of one that is gone. Empty where there are
    not several, or none is left.

    A gap in the numbers is a rank that is gone, unless it may be on another machine.
    """
    known = {
        rank: None if has_ended(process_at(seen.last, pid)) else pid
        for rank, pid in seen.ranks.items()
    }
    if seen.root in known.values() or not any(known.values()):
        return {}
    if not seen.elsewhere and max(seen.rank_count or 0, len(known)) > 1:
        known = dict.fromkeys(range(max(seen.rank_count or 0, 1 + max(known)))) | known
    return dict(sorted(known.items())) if len(known) > 1 else {}


def judge_job(
    ranks: Mapping[int, int | None], whole: Mapping[int, Judged], seen: Observation
) -> Job:
    """The verdict on `ranks`, of which `whole` has those that are there."""
    sites = {rank: _site(one, seen) for rank, one in whole.items()}
    held = [rank for rank, one in whole.items() if one.answer in FATAL]
    good = not held and any(one.good for one in whole.values())
    culprits, reason = ((), None) if good else _culprits(ranks, whole, sites, seen.last.t)
    told = tuple(
        _result(rank, whole.get(rank), sites.get(rank), rank in culprits, good) for rank in ranks
    )
    odd = () if good or culprits else _odd(sites)
    deciding = _deciding(whole, culprits or odd, good)
    summary = "; ".join(_goes_on(told, deciding, seen) if good else _stands(told, odd, whole, seen))
    return Job(
        # A process that waits for one that is gone may do so in any way.
        answer=deciding.answer if good or deciding.pid in map(ranks.get, culprits)
        else Answer.WAITING,
        summary=summary,
        good=good,
        decided_by=deciding.decided_by,
        culprits=culprits,
        reason=reason,
        ranks=told,
        findings=(_finding(reason, summary, told),) if reason else (),
    )  # fmt: skip


def _culprits(
    ranks: Mapping[int, int | None],
    whole: Mapping[int, Judged],
    sites: Mapping[int, WaitSite | None],
    now: float,
) -> tuple[tuple[int, ...], str | None]:
    """Because of whom a job stands still, and the code of that."""
    states = []
    for rank in ranks:
        one, site = whole.get(rank), sites.get(rank)
        if one is None:
            states.append(RankState(rank=rank, ended_t=now, says_end=False))
        # Of one that moves nothing is to be said, nor of one whose stacks were not seen.
        elif not one.good and (site is not None or one.answer in FATAL):
            state = "T" if one.answer in _HELD else None
            cpu = one.evidence.get("cpu")
            states.append(RankState(rank=rank, process=state, wait=site, cpu=cpu, says_end=False))
    verdict = judge(states, now, hung=True)
    gone = tuple(rank for rank in ranks if rank not in whole)
    if set(gone) & set(verdict.culprits):
        return gone, verdict.code  # which of them was the first nobody has seen
    if verdict.culprits:
        return verdict.culprits, verdict.code
    fatal = tuple(rank for rank, one in whole.items() if one.answer in FATAL)
    return (fatal if len(fatal) < len(ranks) else ()), verdict.code


def _site(one: Judged, seen: Observation) -> WaitSite | None:
    """The wait that its stacks show. Its sockets may show as well that it waits for another
    rank."""
    captures = seen.stacks.get(one.pid, ())
    found = wait_site.explain(captures[-1]) if captures else None
    site = found.overall if found else None
    if one.answer is Answer.WAITING and set(one.on) & set(seen.ranks.values()):
        if site is None:
            return WaitSite(category=Category.COLLECTIVE, description="waits for another rank")
        return msgspec.structs.replace(site, category=Category.COLLECTIVE)
    return site


def _odd(sites: Mapping[int, WaitSite | None]) -> tuple[int, ...]:
    """The ranks that wait where fewest do; empty where they cannot be told from the others."""
    places: dict[tuple[str | None, str], list[int]] = {}
    for rank, site in sites.items():
        if site is not None:
            places.setdefault((site.place, site.description), []).append(rank)
    least = min(places.values(), key=len, default=[])
    return tuple(least) if 2 * len(least) < sum(map(len, places.values())) else ()


def _result(
    rank: int, one: Judged | None, site: WaitSite | None, culprit: bool, good: bool
) -> RankResult:
    """`good` says that the job goes on."""
    if one is None:
        state = Standing.FINISHED if good else Standing.DEAD
        reason = "has ended, while others go on" if good else "has ended: no process of it is left"
        return RankResult(rank=rank, state=state, reason=reason, culprit=culprit)
    if one.answer in _HELD:
        state = Standing.STOPPED
    elif one.good:
        state = Standing.WORKING
    elif site is not None and site.category is Category.COLLECTIVE:
        state = Standing.WAITING
    else:
        state = Standing.STALLED
    return RankResult(
        rank=rank,
        state=state,
        reason=one.summary,
        culprit=culprit,
        wait_site=site.function if site else None,
        wait=site.description if site else None,
        python_frame=site.place if site else None,
    )


def _deciding(whole: Mapping[int, Judged], culprits: Sequence[int], good: bool) -> Judged:
    """The rank whose answer is the job's."""
    if good:
        alive = [one for one in whole.values() if one.good]
        return max(alive, key=lambda one: WORST_FIRST.index(one.answer))
    these = [whole[rank] for rank in culprits if rank in whole] or list(whole.values())
    return min(these, key=lambda one: WORST_FIRST.index(one.answer))


def _goes_on(told: Sequence[RankResult], deciding: Judged, seen: Observation) -> list[str]:
    working = [one.rank for one in told if one.state is Standing.WORKING]
    name = seen.name(deciding.pid)
    return [
        f"{named(working)} {are(working, 'goes', 'go')} on: {name} {deciding.summary}",
        *_others(told, "another one"),
    ]


def _stands(
    told: Sequence[RankResult], odd: Sequence[int], whole: Mapping[int, Judged], seen: Observation
) -> list[str]:
    """The reasons why it does not go on."""
    culprits = [one for one in told if one.culprit]
    if not culprits:
        first = whole[odd[0]] if odd else next(iter(whole.values()))
        where = (
            f"{named(odd)} {are(odd, 'waits', 'wait')} elsewhere than the others"
            if odd
            else ("no rank differs from the others")
        )
        return [
            f"no rank goes on, and {where}",
            f"{seen.name(first.pid)} {first.summary}",
            *_others(told, "another one"),
        ]
    gone = [one.rank for one in culprits if one.rank not in whole]
    parts = [_ended(gone)] if gone else []
    alive = [one for one in culprits if one.rank in whole]
    parts += [f"{seen.name(whole[one.rank].pid)} {one.reason}" for one in alive[:TOLD]]
    if rest := [one.rank for one in alive[TOLD:]]:
        parts.append(f"{named(rest)} {are(rest, 'does', 'do')} not go on either")
    return [*parts, *_others(told, are(culprits, "it", "them"))]


def _others(told: Sequence[RankResult], whom: str) -> list[str]:
    """The activity of those that are not to blame. `whom` names the ranks for which they wait."""

    def of(state: Standing) -> list[int]:
        return [one.rank for one in told if one.state is state and not one.culprit]

    blamed = any(one.culprit for one in told)
    says = {
        Standing.WAITING: (f"waits for {whom}", f"wait for {whom}"),
        Standing.STALLED: ("does not move", "do not move"),
        Standing.STOPPED: ("is stopped", "are stopped"),
        Standing.WORKING: ("still goes on", "still go on") if blamed else None,
        Standing.FINISHED: ("has ended", "have ended"),
    }
    parts = [
        f"{named(ranks)} {are(ranks, *words)}"
        for state, words in says.items()
        if words and (ranks := of(state))
    ]
    return parts + ([_ended(gone)] if (gone := of(Standing.DEAD)) else [])


def _ended(ranks: Sequence[int]) -> str:
    return f"{named(ranks)} {are(ranks, 'has', 'have')} ended: no process is left"


def _finding(code: str, summary: str, told: Sequence[RankResult]) -> Finding:
    return error(
        code,
        summary,
        ranks=[one.rank for one in told if one.culprit],
        waiting=[one.rank for one in told if one.state is Standing.WAITING],
    )
