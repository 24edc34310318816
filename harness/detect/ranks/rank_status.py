"""The activity of each rank, seen among the others."""

from __future__ import annotations

from collections import Counter

from harness.detect.policy import STANDARD
from harness.detect.ranks.job_state import Case
from harness.detect.ranks.phrases import named, where
from harness.detect.ranks.rank_end import Fate, Kind
from harness.detect.ranks.state import EXITED, RankState
from harness.model import RankResult, Standing
from harness.text.units import duration

_OF_KIND = {
    Kind.STOPPED: Standing.STOPPED,
    Kind.CUT_OFF: Standing.CUT_OFF,
    Kind.NEVER_STARTED: Standing.NEVER_STARTED,
}


def results(case: Case) -> tuple[RankResult, ...]:
    """One for each rank, in the order in which they were given."""
    waiting = {state.rank for state in case.waiting}
    usual = _usual_step(case)
    return tuple(_result(state, case, waiting, usual) for state in case.ranks)


def _usual_step(case: Case) -> int | None:
    """The step in which most are that are alive."""
    steps = Counter(s.place.step for s in case.ranks if s.place and not s.ended and not s.finished)
    return max(steps, key=lambda step: (steps[step], step), default=None)


def _result(state: RankState, case: Case, waiting: set[int], usual: int | None) -> RankResult:
    standing, reason = _standing(state, case, waiting, usual)
    place, last = state.place, state.issued.last
    return RankResult(
        rank=state.rank,
        state=standing,
        reason=reason,
        culprit=state.rank in case.culprits,
        host=state.host,
        steps_completed=state.steps,
        last_step=place.step if place and place.step >= 0 else None,
        last_phase=place.phase if place else None,
        phase_s=max(0.0, case.now - place.t) if place and not state.ended else None,
        collective=last.n if last else None,
        collective_op=last.op if last else None,
        collective_step=last.step if last and (last.step >= 0 or not state.numbered) else None,
        exit_code=state.exit_code if state.well == EXITED else None,
        signal=state.signal,
        wait_site=state.wait.function if state.wait else None,
        wait=state.wait.description if state.wait else None,
        python_frame=state.wait.place if state.wait else None,
    )


def _standing(
    state: RankState, case: Case, waiting: set[int], usual: int | None
) -> tuple[Standing, str]:
    rank, fate, at = state.rank, case.met.get(state.rank), where(state)
    at = f" {at}" if at else ""
    if fate is not None:
        standing = _OF_KIND.get(fate.kind, Standing.DEAD)
        if fate.kind is Kind.LEFT and state.finished:
            standing = Standing.FINISHED
        return standing, fate.text + _after(fate, case)
    odd = case.mismatch is not None and rank in case.mismatch.odd
    differs = f"; it differs in collective #{case.mismatch.n}" if odd and case.mismatch else ""
    if state.finished:
        return Standing.FINISHED, f"its steps are over{differs}"
    if rank in waiting and (case.problem or rank not in case.late):
        causes = case.culprits or case.late
        if causes:
            spins = ", spinning" if (state.cpu or 0.0) > STANDARD.rank_spins else ""
            return Standing.WAITING, f"waits for {named(causes)}{at}{_since(state, case)}{spins}"
    if case.hung:
        wait = f": {state.wait.description}" if state.wait else ""
        return Standing.STALLED, f"does not move{at}{_since(state, case)}{wait}{differs}"
    for one in case.slow:
        if one.rank == rank:
            return Standing.SLOW, one.text
    return _moving(state, usual, f"{at}{differs}")


def _after(fate: Fate, case: Case) -> str:
    """True if the culprits explain it, or came before it."""
    culprits, origin = case.culprits, case.origin
    if not culprits or fate.rank in culprits or origin is None:
        return ""
    if case.problem is not None and case.problem.code == "collective_mismatch":
        return f", after {named(culprits)} had issued other collectives"
    return f", after {named(culprits)} had failed" if fate.after(origin) else ""


def _moving(state: RankState, usual: int | None, at: str) -> tuple[Standing, str]:
    step = state.place.step if state.place else None
    if step is None or usual is None or step == usual:
        return Standing.WORKING, f"is at work{at}"
    if step > usual:
        return Standing.AHEAD, f"is{at}, most others in step {usual}"
    return Standing.BEHIND, f"is{at}, most others in step {usual}"


def _since(state: RankState, case: Case) -> str:
    return f", for {duration(max(0.0, case.now - state.place.t))}" if state.place else ""
