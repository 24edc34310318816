"""The verdict in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.detect.ranks.job_state import Case, Problem
from harness.detect.ranks.phrases import (
    are,
    few,
    hosts,
    named,
    plural,
    shared,
    where,
)
from harness.detect.ranks.rank_end import Fate, Kind
from harness.detect.ranks.state import RankState
from harness.model.beats import BETWEEN
from harness.text.units import duration


def summary(case: Case) -> str:
    """The state of a job in one sentence, the worst first."""
    if case.problem is not None:
        return _wrong(case, case.problem)
    if case.skipped is not None:
        return case.skipped
    if case.slow:
        worst, *rest = case.slow
        also = f"; so {are(rest, 'is', 'are')} {named(one.rank for one in rest)}" if rest else ""
        return f"rank {worst.rank} {worst.text}{also}"
    if case.uneven:
        return "; ".join(befell(case, [fate.rank for fate in case.uneven]))
    if all(state.finished for state in case.ranks):
        return "all ranks have finished"
    if case.waiting and case.late:
        waiting = [state.rank for state in case.waiting]
        return f"{named(waiting)} {are(waiting, 'waits', 'wait')} for {named(case.late)}"
    return f"all {len(case.ranks)} ranks are at work"


def _wrong(case: Case, problem: Problem) -> str:
    never = _never(case)
    waiting = _waiting(case, never != "" or problem.code == "collective_mismatch")
    fault = [problem.told] if problem.told else _fault(case, problem)
    parts = [*fault, never, waiting]
    if never and not problem.ended:
        parts = [never, waiting, *fault]
    return "; ".join(part for part in (*parts, *_consequences(case)) if part)


def _never(case: Case) -> str:
    never = case.never
    if never is None:
        return ""
    step = "" if never.step is None else f" (step {never.step})"
    return f"{named(never.ranks)} never issued {never.op} #{never.n}{step}"


def _fault(case: Case, problem: Problem) -> list[str]:
    if problem.code == "rank_silent":
        return _stay(case, problem.culprits)
    return befell(case, problem.culprits)


def befell(case: Case, ranks: Iterable[int]) -> list[str]:
    """The fate of each of `ranks`; those with the same story share a clause."""
    alike: dict[tuple[str, str], list[Fate]] = {}
    for rank in sorted(ranks):
        fate = case.met[rank]
        alike.setdefault((fate.did, fate.more), []).append(fate)
    told = []
    for (did, more), fates in alike.items():
        who, at = [fate.rank for fate in fates], shared(fate.at for fate in fates)
        at = are(who, at, at.replace("its", "their"))
        clause = f"{are(who, did, plural(did))} {at}".rstrip()
        told.append(f"{_who(case, who)} {clause}{more}")
    return few(told)


def _who(case: Case, ranks: Sequence[int]) -> str:
    return named(ranks) + hosts([state for state in case.ranks if state.rank in ranks])


def _stay(case: Case, ranks: Sequence[int]) -> list[str]:
    """The place of the ranks for which the others wait, and their activity there."""
    if not ranks:
        return ["no rank is behind the others and none has ended, but nothing moves", _even(case)]
    alike: dict[tuple[bool, str, str], list[RankState]] = {}
    for state in case.ranks:
        if state.rank in ranks:
            key = (state.place is None, _since(state), _does(state))
            alike.setdefault(key, []).append(state)
    told = []
    for (nowhere, since, one_does), states in alike.items():
        who = [state.rank for state in states]
        it, has = are(who, "it", "they"), are(who, "has", "have")
        does = are(who, one_does, plural(one_does))
        if nowhere:
            tells = all(state.numbered is not None for state in states)
            clause = does or (f"{has} not moved" if tells else f"{has} not told anything yet")
        elif since:
            clause = f"{has} not moved since {it} {since}" + (f"; {it} {does}" if does else "")
        else:
            at = shared(map(where, states))
            stays = f"{are(who, 'stays', 'stay')} {at}" if at else f"{has} not moved"
            clause = stays + (f", where {it} {does}" if does else "")
        told.append(f"{_who(case, who)} {clause}")
    return few(told)


def _even(case: Case) -> str:
    """The last collective, where all ranks have issued the same number and wait for it."""
    totals = {state.columns.total for state in case.ranks}
    last = case.ranks[0].columns.last if case.ranks else None
    known = len(totals) == 1 and last is not None and all(state.waits for state in case.ranks)
    if not known or last is None or any(state.columns.compiles for state in case.ranks):
        return ""
    ended = f"all have issued {last.op} #{last.n} (step {last.step})"
    return f"{ended}, and its evaluation does not end"


def _since(state: RankState) -> str:
    """The last activity of a rank of which no place within a step is known."""
    place = state.place
    return f"reported step {place.step}" if place and place.phase == BETWEEN else ""


def _does(state: RankState) -> str:
    if state.wait is None:
        return ""
    frame = state.wait.place
    return state.wait.description + (f" at {frame}" if frame else "")


def _waiting(case: Case, named_before: bool) -> str:
    """The ranks that wait, the place where they do, and the least time that they have waited."""
    states = case.waiting
    if not states:
        return ""
    places = [state.place for state in states if state.place]
    ranks = [state.rank for state in states]
    issued = [s.numbered.last.t for s in states if s.numbered is not None and s.numbered.last]
    if issued and case.never is not None:
        long = duration(max(0.0, case.now - max(issued)))
        return f"{named(ranks)} {are(ranks, 'has', 'have')} waited in it for {long}"
    if issued and not named_before:
        long = duration(max(0.0, case.now - max(issued)))
        return f"{named(ranks)} {are(ranks, 'has', 'have')} waited in a collective for {long}"
    if not places:
        return f"{named(ranks)} {are(ranks, 'waits', 'wait')} in a collective"
    long = duration(max(0.0, case.now - max(place.t for place in places)))
    last = max(places, key=lambda place: place.step)
    mismatch = case.problem is not None and case.problem.code == "collective_mismatch"
    if last.step < 0:
        what = "for it to join"
    elif named_before and not mismatch:
        what = "in it"
    elif last.phase == BETWEEN:
        what = f"since the report of step {last.step}"
    else:
        what = f"in the evaluation of step {last.step}"
    return f"{named(ranks)} {are(ranks, 'has', 'have')} waited {what} for {long}"


def _consequences(case: Case) -> list[str]:
    """The fate of the others, because of that, or besides."""
    groups: dict[tuple[bool, Kind], list[int]] = {}
    among = case.problem.evidence.get("among", ()) if case.problem else ()
    for rank, fate in sorted(case.met.items()):
        if rank not in case.culprits and rank not in among:
            then = case.origin is not None and fate.after(case.origin)
            groups.setdefault((then, fate.kind), []).append(rank)
    return [
        f"{'then ' * then}{named(who)} {are(who, _BECAME[kind], plural(_BECAME[kind]))}"
        + " at the same time" * (not then and kind.gone)
        for (then, kind), who in groups.items()
    ]


_BECAME = {
    Kind.KILLED: "was killed",
    Kind.CRASHED: "crashed",
    Kind.STOPPED: "is stopped by a signal",
    Kind.CUT_OFF: "was cut off",
    Kind.RAISED: "raised an exception",
    Kind.EXITED: "exited with an error",
    Kind.VANISHED: "ended without a word",
    Kind.LEFT: "left",
    Kind.NEVER_STARTED: "did not start",
    Kind.ABORTED: "aborted",
    Kind.TERMINATED: "was ended by a signal",
    Kind.LOST: "lost the connection to a peer",
    Kind.ORPHANED: "ended with it",
    Kind.SKIPPED: "could not run here",
}
