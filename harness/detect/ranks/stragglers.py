"""The slow ranks of a job that moves.

In a synchronous job all ranks take the same time for a step: those that are early wait in its
evaluation. So the slow one is told by its other phases, which are long while the others evaluate
for longer than it does. Time that it loses inside the evaluation cannot be told from waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from harness.beats.record import NOT_WORK
from harness.detect.policy import STANDARD
from harness.detect.ranks.state import WAITING, RankState
from harness.text.units import duration


@dataclass(frozen=True)
class Slow:
    """A rank that is slower than the others, who wait for it."""

    rank: int
    phase: str
    """The phase with most of the difference."""
    own_s: float
    others_s: float
    """Median seconds a step outside the evaluation, and the median of the others'."""
    phase_s: float
    phase_others_s: float
    step_s: float
    """Seconds of a step of the job."""
    steps: int
    of: int
    """The steps in which it was slow, and all that were compared."""

    @property
    def text(self) -> str:
        """The words that follow "rank 2 "."""
        return (
            f"is slow: {duration(self.own_s)} a step before its evaluation, the others "
            f"{duration(self.others_s)}, most of it in {self.phase} "
            f"({duration(self.phase_s)} against {duration(self.phase_others_s)}), "
            f"in {self.steps} of {self.of} steps"
        )


def slow_ranks(ranks: Sequence[RankState]) -> tuple[Slow, ...]:
    """The stragglers over the last steps that all have returned from; the worst first."""
    taken = {state.rank: _steps(state) for state in ranks if state.columns.recent}
    if len(taken) < 2:
        return ()
    common = set.intersection(*(set(steps) for steps in taken.values()))
    if len(common) < STANDARD.slow_steps:
        return ()
    order = sorted(common)
    rows = {rank: [steps[step] for step in order] for rank, steps in taken.items()}
    own = {rank: [_own(phases) for phases in row] for rank, row in rows.items()}
    waited = {rank: median(map(_waited, row)) for rank, row in rows.items()}
    whole = median(median(sum(phases.values()) for phases in row) for row in rows.values())
    usual = {rank: median(values) for rank, values in own.items()}
    others, others_waited = _of_others(usual), _of_others(waited)
    found = []
    for rank, value in usual.items():
        excess = value - others[rank]
        if (
            excess < max(STANDARD.slow_least_s, STANDARD.slow_share * whole)
            or value < STANDARD.slow_ratio * others[rank]
        ):
            continue
        if others_waited[rank] - waited[rank] < STANDARD.slow_waited * excess:
            continue
        level = others[rank] + excess / 2
        often = sum(one > level for one in own[rank])
        if often >= STANDARD.slow_often * len(order):
            phase, mine, theirs = _worst_phase(rank, rows)
            found.append(
                Slow(rank, phase, value, others[rank], mine, theirs, whole, often, len(order))
            )
    return tuple(sorted(found, key=lambda slow: -slow.own_s))


def _steps(state: RankState) -> dict[int, Mapping[str, float]]:
    """The phases of its last steps, but for the first of all, which compiles and warms up."""
    first = state.columns.first_step
    return {
        beat.step: {name: s for name, s in beat.phases.items() if name not in NOT_WORK}
        for beat in state.columns.recent
        if beat.step != first and beat.covers == 1
    }


def _own(phases: Mapping[str, float]) -> float:
    return sum(value for name, value in phases.items() if name not in WAITING)


def _waited(phases: Mapping[str, float]) -> float:
    return sum(phases.get(name, 0.0) for name in WAITING)


def _of_others(values: Mapping[int, float]) -> dict[int, float]:
    """For each rank the median of all the others."""
    ordered = sorted(values, key=values.__getitem__)
    sizes = [values[rank] for rank in ordered]
    middle = (len(sizes) - 1) // 2
    result = {}
    for index, rank in enumerate(ordered):
        # Without the rank itself, what lies behind it moves up by one.
        low = sizes[middle + (index <= middle)] if len(sizes) % 2 == 0 else None
        if low is None:
            low = (
                sizes[middle - 1 + (index <= middle - 1)] + sizes[middle + (index <= middle)]
            ) / 2
        result[rank] = low
    return result


def _worst_phase(
    rank: int, rows: Mapping[int, Sequence[Mapping[str, float]]]
) -> tuple[str, float, float]:
    """(phase, its median, the median of the others') where the rank is most behind."""
    names = {name for phases in rows[rank] for name in phases if name not in WAITING}

    def usual(of: int, name: str) -> float:
        return median(phases.get(name, 0.0) for phases in rows[of])

    compared = [
        (name, usual(rank, name), median(usual(other, name) for other in rows if other != rank))
        for name in sorted(names)
    ]
    return max(compared, key=lambda one: one[1] - one[2])
