"""Refutations that rest on runs which another fault has ended or marked. Pure.

A hypothesis is refuted where its symptom does not clear as it should. Where another one is
supported by a sign of its own, and explains that symptom, it stays whatever else is at fault: such
runs tell nothing of a second fault. One that comparisons alone support rests on these refutations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis.diagnosis import effects
from harness.analysis.diagnosis.evidence import Evidence, cell
from harness.analysis.diagnosis.hypotheses import (
    HYPOTHESES,
    STOPS,
    TWINS,
    Cell,
    Effect,
    Kind,
    Theory,
)
from harness.analysis.diagnosis.symptoms import Facts, describe
from harness.model import Hypothesis, Support

_BY_ID = {theory.id: theory for theory in HYPOTHESES}
_DEATHS = frozenset((Kind.KILLED, Kind.NO_MEMORY))


def unmasked(hypotheses: Sequence[Hypothesis], evidence: Evidence) -> tuple[Hypothesis, ...]:
    """The hypotheses, of which none is refuted by what another fault alone may have done."""
    supported = [_BY_ID[one.id] for one in hypotheses if one.verdict is Support.SUPPORTED]
    signed = [one for one in supported if any(run.kinds & one.signs for run in evidence.runs)]
    return tuple(_untested(one, signed, evidence) for one in hypotheses)


def _untested(one: Hypothesis, supported: Sequence[Theory], evidence: Evidence) -> Hypothesis:
    if one.verdict is not Support.REFUTED:
        return one
    theory = _BY_ID[one.id]
    base = effects.reference(theory, evidence.groups)
    spoke = _against(theory, base, evidence)
    wanted = STOPS if base is None else base.wanted
    by = [other for other in supported if spoke and _marks_all(other, theory, wanted, spoke)]
    if not by:
        return one
    runs = [run for run in spoke[0] if _marks(by[0], theory, wanted, run)]
    told = f"{describe(runs)}, as by {by[0].title}: that tells nothing of a second fault"
    return Hypothesis(
        id=one.id,
        title=one.title,
        verdict=Support.UNTESTED,
        because=(told,),
        conflicts=one.because,
    )


def _against(
    theory: Theory, base: effects.Reference | None, evidence: Evidence
) -> list[Sequence[Facts]]:
    """The runs of each scenario that spoke against a hypothesis."""
    if base is None:
        return [runs for name in TWINS if (runs := evidence.groups.get(name))]
    return [
        runs
        for name, runs in evidence.groups.items()
        if name not in TWINS
        and cell(name, theory) == Cell(Effect.CLEARS, True)
        and effects.effect(theory, base, runs) not in (None, Effect.CLEARS)
    ]


def _marks_all(
    other: Theory, theory: Theory, wanted: frozenset[Kind], spoke: Iterable[Sequence[Facts]]
) -> bool:
    return all(any(_marks(other, theory, wanted, run) for run in runs) for runs in spoke)


def _marks(other: Theory, theory: Theory, wanted: frozenset[Kind], run: Facts) -> bool:
    """True if a run has the symptom that the other one explains, or ended with its own sign.

    A crash speaks against what would have shown in another way: that had its time until then.
    """
    if _DEATHS & (run.kinds - theory.explains):
        return False
    ended = run.kinds & (STOPS | {Kind.DIVERGED})
    sign = run.kinds & (other.signs - theory.explains)
    return bool(run.kinds & wanted & other.explains) or bool(ended and sign)
