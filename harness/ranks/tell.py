"""The verdict in one sentence."""

from __future__ import annotations

from harness.beatfile import BETWEEN
from harness.ranks.case import Case, Problem
from harness.ranks.fate import Kind
from harness.ranks.words import are, collective, hosts, lasted, named


def summary(case: Case) -> str:
    if case.problem is not None:
        return _wrong(case, case.problem)
    if case.slow:
        worst, *rest = case.slow
        also = f"; so {are(rest, 'is', 'are')} {named(one.rank for one in rest)}" if rest else ""
        return f"rank {worst.rank} {worst.told}{also}"
    if all(state.finished for state in case.ranks):
        return "all ranks have finished"
    if case.waiting and case.late:
        waiting = [state.rank for state in case.waiting]
        return f"{named(waiting)} {are(waiting, 'waits', 'wait')} for {named(case.late)}"
    return f"all {len(case.ranks)} ranks are at work"


def _wrong(case: Case, problem: Problem) -> str:
    who = named(problem.culprits) if problem.culprits else ""
    missing = _missing(case, problem)
    never = f"{who} never issued {missing[0]} (step {missing[1]})" if missing else ""
    waiting = _waiting(case, never != "" or problem.code == "collective_mismatch")
    parts = [_fate(case, problem, who), never, waiting]
    if never and not problem.ended:
        parts = [never, waiting, parts[0]]
    return "; ".join(part for part in (*parts, *_consequences(case)) if part)


def _fate(case: Case, problem: Problem, who: str) -> str:
    if problem.code in ("collective_mismatch", "launcher_died"):
        return problem.clause
    if not who:
        return "no rank is behind the others and none has ended, but nothing moves"
    if len(problem.culprits) == 1:
        host = next(state.host for state in case.ranks if state.rank == problem.culprits[0])
        return f"{who}{f' on host {host}' if host else ''} {problem.clause}"
    which = hosts([state for state in case.ranks if state.rank in problem.culprits])
    return f"{who}{which} alike: the first {problem.clause}"


def _missing(case: Case, problem: Problem) -> tuple[str, int] | None:
    """(name, step) of the first collective that the culprits have not issued and another rank has.

    None also where that cannot be said: of compiled steps, and where what they issued differs.
    """
    compiled = any(state.columns.compiles for state in case.ranks)
    if compiled or case.mismatch is not None or not problem.culprits:
        return None
    culprits = set(problem.culprits)
    n = min(state.columns.total for state in case.ranks if state.rank in culprits)
    ahead = max((state.columns for state in case.ranks), key=lambda columns: columns.total)
    found = ahead.nth(n)
    return (collective(n, found[1]), found[0]) if found else None


def _waiting(case: Case, named_before: bool) -> str:
    """Who waits, in what, and for how long at least."""
    states = case.waiting
    if not states:
        return ""
    places = [state.place for state in states if state.place]
    ranks = [state.rank for state in states]
    if not places:
        return f"{named(ranks)} {are(ranks, 'waits', 'wait')} in a collective"
    long = lasted(max(0.0, case.now - max(place.t for place in places)))
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
    """What became of the others, because of that."""
    groups: dict[str, list[int]] = {}
    for rank, fate in sorted(case.met.items()):
        if rank not in case.culprits:
            groups.setdefault(_FOLLOWED.get(fate.kind, fate.kind.word), []).append(rank)
    return [f"then {named(who)} {what}" for what, who in groups.items()]


_FOLLOWED = {
    Kind.LOST: "lost the connection to a peer",
    Kind.TERMINATED: "ended by a signal",
    Kind.ABORTED: "aborted",
    Kind.NEVER_STARTED: "did not start",
    Kind.ORPHANED: "ended with it",
}
