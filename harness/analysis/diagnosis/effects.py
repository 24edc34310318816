"""The effect of a scenario on the symptom of the reference: stays, clears or moves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.diagnosis.hypotheses import (
    ALIKE,
    COMPILED,
    STOPS,
    TWINS,
    Effect,
    Kind,
    Theory,
)
from harness.analysis.diagnosis.symptoms import Facts, describe
from harness.model import Outcome
from harness.stats import median

Groups = Mapping[str, Sequence[Facts]]
"""The informative runs of each scenario."""

SLOWNESS = frozenset((Kind.SLOW, Kind.JUMP))
SAME_SPEED, FASTER = 0.5, 1 / 3
"""A scenario is as slow as the reference above the one share of its step time, and not slow
below the other; between them nothing is said."""
SMALLER = frozenset(("tiny_model",))
"""They have far less to do: that they are faster says nothing."""
CHANCE = 0.05
"""A symptom that comes and goes has cleared when its absence by chance is less likely than this."""
SEEN_STEPS = 6
"""A run that stopped shows that something does not happen in each step after so many of them."""


@dataclass(frozen=True)
class Reference:
    """The runs that show the symptom of a hypothesis, and what there is to compare with."""

    runs: tuple[Facts, ...]
    """Runs with the symptom, and runs of the same scenarios without it."""
    wanted: frozenset[Kind]
    rate: float
    """Share of the runs that show it."""

    @property
    def affected(self) -> tuple[Facts, ...]:
        """The runs that show the symptom."""
        return tuple(run for run in self.runs if run.kinds & self.wanted)

    @property
    def description(self) -> str:
        """The symptom in words, and in how many runs it shows."""
        return describe(self.runs, self.wanted)

    @property
    def stop(self) -> int | None:
        """Steps that returned before it stopped; None when the symptom ends no run."""
        return min((r.steps for r in self.affected if r.kinds & STOPS & self.wanted), default=None)

    @property
    def places(self) -> frozenset[str | None]:
        """Where those runs wait; None stands for a run of which that is not known."""
        return frozenset(run.place for run in self.affected)

    @property
    def step_s(self) -> float | None:
        """Seconds of a step in those runs; None where none of them tells."""
        return _step_s(self.affected)


def reference(theory: Theory, groups: Groups) -> Reference | None:
    """Find the runs that show the symptom which `theory` explains.

    The baseline and its twins come first, then the other references of the hypothesis. None when
    no run shows it.
    """
    for names in (sorted(TWINS), theory.references):
        runs = tuple(run for name in names for run in groups.get(name, ()))
        affected = [run for run in runs if run.kinds & theory.explains]
        if affected:
            wanted = frozenset().union(*(run.kinds & theory.explains for run in affected))
            return Reference(runs, wanted, len(affected) / len(runs))
    return None


def comparable(base: Reference) -> frozenset[str] | None:
    """The scenarios that vary what the reference does; None: all of them."""
    return None if base.runs[0].name in TWINS else COMPILED


def effect(theory: Theory, base: Reference, runs: Sequence[Facts]) -> Effect | None:
    """The effect of these runs of one scenario; None when they do not decide it."""
    if base.wanted <= SLOWNESS and theory.id != "deferred":
        return None if runs[0].name in SMALLER else _slowness(base, runs)
    effects = [_effect(base, run) for run in runs]
    stays = sum(effect in (Effect.STAYS, Effect.MOVES) for effect in effects)
    clears = sum(effect is Effect.CLEARS for effect in effects)
    if stays:
        often = stays >= base.rate * (stays + clears) / 2
        return (Effect.MOVES if Effect.MOVES in effects else Effect.STAYS) if often else None
    return Effect.CLEARS if clears and (1 - base.rate) ** clears < CHANCE else None


def _effect(base: Reference, run: Facts) -> Effect | None:
    if run.kinds & alike(base.wanted):
        if _another(base, run):
            return Effect.CLEARS if base.stop is not None and run.steps > base.stop else None
        first = bool(base.stop) and run.steps == 0
        return Effect.MOVES if first else Effect.STAYS
    return Effect.CLEARS if _past(base, run) else None


def _another(base: Reference, run: Facts) -> bool:
    """Return True for another hang or death: SIGKILL comes from outside, faults do not."""
    if Kind.DEAD in run.kinds:
        return run.place not in base.places
    signals = {other.result.signal == "SIGKILL" for other in base.affected}
    both_killed = Kind.KILLED in run.kinds and Kind.KILLED in base.wanted
    return both_killed and (run.result.signal == "SIGKILL") not in signals


def _past(base: Reference, run: Facts) -> bool:
    """Return True if this run came far enough to show the symptom."""
    if run.result.outcome in (Outcome.COMPLETED, Outcome.DIVERGED):
        return True
    if base.stop is not None:
        return run.steps > base.stop
    return run.steps >= SEEN_STEPS and not base.wanted & {Kind.INERT, Kind.DIVERGED}


def alike(kinds: frozenset[Kind]) -> frozenset[Kind]:
    """`kinds`, and those as which the same fault may show in another run."""
    return kinds.union(*(group for group in ALIKE if group & kinds))


def _slowness(base: Reference, runs: Sequence[Facts]) -> Effect | None:
    """Compare step times: step 1 is slower in every scenario, so the amount decides."""
    ours, theirs = _step_s(runs), base.step_s
    if ours is None or not theirs:
        return None
    if ours >= SAME_SPEED * theirs:
        return Effect.STAYS
    return Effect.CLEARS if ours <= FASTER * theirs else None


def _step_s(runs: Sequence[Facts]) -> float | None:
    times = [step_s for run in runs if (step_s := run.step_s) is not None]
    return median(times) if times else None
