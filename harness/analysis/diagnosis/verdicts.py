"""The engine: results against the table, and a verdict on each hypothesis. Pure.

A hypothesis is supported by a sign of its own in any run, or when it explains the baseline's
symptom, has passed a test that it could have failed, and every rival is contradicted. It is
refuted when a firm expectation of it fails, or when runs that would have shown it did not.
Everything else is untested. docs/reference/diagnosis.md gives the rules that protect the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.diagnosis import effects, quantities
from harness.analysis.diagnosis.effects import Reference
from harness.analysis.diagnosis.evidence import Evidence, cell, informative_runs, runs_of
from harness.analysis.diagnosis.hypotheses import (
    HYPOTHESES,
    STOPS,
    TABLE,
    TWINS,
    Cell,
    Effect,
    Kind,
    Theory,
)
from harness.analysis.diagnosis.symptoms import Facts, describe
from harness.model import Hypothesis, Support
from harness.scenario.load import BASELINE

COMPANIONS = {"deferred": "memory"}
"""Hypotheses that do not exclude each other: the time of work, and the amount of it."""
COMES_AND_GOES = "the symptom is not in every run: repeat the run to separate the hypotheses"
GROWTH = frozenset((Kind.GROWING, Kind.CACHING))
"""The hypotheses that use up the memory step by step, however much there is."""
MOST = 6
"""Sentences that a verdict gives."""


@dataclass(frozen=True)
class Assessment:
    """The evidence for and against one hypothesis."""

    theory: Theory
    base: Reference | None
    signs: tuple[str, ...] = ()
    matching: tuple[str, ...] = ()
    """Scenarios that did what it expects."""
    against: tuple[str, ...] = ()
    """Sentences: scenarios that did the opposite of what it firmly expects, figures that exclude
    it."""
    figures: tuple[str, ...] = ()
    """Figures that it alone explains."""
    contrast: str | None = None
    """A run that the table does not know, and that no other hypothesis explains as well."""
    chance: bool = False
    """All that is against it are runs without the symptom, and one that comes and goes has such."""


def assess(evidence: Evidence) -> tuple[Hypothesis, ...]:
    """Give a verdict on each hypothesis, in the order of the table."""
    assessments = {theory.id: _assess(theory, evidence) for theory in HYPOTHESES}
    verdicts = {
        id: _verdict(assessment, assessments, evidence) for id, assessment in assessments.items()
    }
    if verdicts["deferred"].verdict is not Support.SUPPORTED:
        verdicts["deferred"] = _rides(
            verdicts["deferred"], verdicts["memory"], assessments, evidence
        )
    return tuple(verdicts.values())


def unexplained(evidence: Evidence, hypotheses: Sequence[Hypothesis]) -> str | None:
    """The symptom of the baseline that none of the hypotheses is left to explain."""
    runs = [run for name in TWINS for run in evidence.groups.get(name, ())]
    symptoms_seen = frozenset().union(*(run.kinds for run in runs))
    left = {hypothesis.id for hypothesis in hypotheses if hypothesis.verdict is not Support.REFUTED}
    if not symptoms_seen or any(
        theory.id in left and theory.explains & symptoms_seen for theory in HYPOTHESES
    ):
        return None
    return describe(runs, symptoms_seen)


# --- for and against -----------------------------------------------------------------------------


def _assess(theory: Theory, evidence: Evidence) -> Assessment:
    base = effects.reference(theory, evidence.groups)
    assessment = Assessment(theory, base, signs=_signs(theory, evidence))
    if base is None:
        return assessment
    matching: list[str] = []
    against: list[str] = []
    chance = True
    within = effects.comparable(base)
    for name, runs in evidence.groups.items():
        expected = cell(name, theory)
        if expected is None or name in TWINS or (within is not None and name not in within):
            continue
        actual = effects.effect(theory, base, runs)
        if actual is None or expected.effect is Effect.SHOWS:
            continue
        if _agrees(expected, actual, base):
            matching.append(name)
        elif expected.firm and _opposite(expected, actual):
            chance = chance and actual is Effect.CLEARS
            against.append(f"{describe(runs)}; expected: {expected.effect.value}")
    own = [runs for name, runs in evidence.groups.items() if name not in TABLE]
    contrast = quantities.contrast(base, own) if theory.id == "memory" else None
    figures, excluded = quantities.weigh(theory.id, base, evidence.environment, evidence.settings)
    return replace(
        assessment,
        matching=tuple(matching),
        against=(*against, *excluded),
        figures=figures,
        contrast=contrast,
        chance=chance and bool(against) and not excluded,
    )


def _signs(theory: Theory, evidence: Evidence) -> tuple[str, ...]:
    """A sentence for each scenario that shows a sign, where a sign means something."""
    sentences = []
    for name, runs in evidence.groups.items():
        if name in TABLE and cell(name, theory) is None:
            continue
        affected = [run for run in runs if run.kinds & theory.signs]
        if theory.id == "memory":
            affected = [run for run in affected if not _grew_first(run, evidence)]
        if affected:
            share = f" ({len(affected)} of {len(runs)} runs)" if len(runs) > 1 else ""
            sentences.append(quantities.sign(affected[0], theory.signs) + share)
    return tuple(sentences)


def _grew_first(run: Facts, evidence: Evidence) -> bool:
    """Return True if memory ran out because something grew: late, and it is seen to grow."""
    grows = any(other.kinds & GROWTH for other in evidence.runs)
    return grows and run.steps > 1


def _agrees(expected: Cell, actual: Effect, base: Reference) -> bool:
    if expected.effect is Effect.MOVES:
        return actual is Effect.MOVES or (actual is Effect.STAYS and not base.stop)
    if expected.effect is Effect.STAYS:
        return actual is not Effect.CLEARS
    return actual is expected.effect


def _opposite(expected: Cell, actual: Effect) -> bool:
    """A symptom that stays where it should move to step 0 may do so for reasons of its own."""
    return (expected.effect is Effect.CLEARS) != (actual is Effect.CLEARS)


# --- the verdict ---------------------------------------------------------------------------------


def _verdict(
    assessment: Assessment, assessments: dict[str, Assessment], evidence: Evidence
) -> Hypothesis:
    theory = assessment.theory
    if assessment.signs:
        more = len(assessment.signs) - 2
        beside = (f"and {more} more scenarios show it",) if more > 0 else ()
        cleared = _sentences(
            [name for name in assessment.matching if name in theory.needs], evidence
        )
        # What was done to it says more than how it ended.
        lead = (
            [f"{assessment.base.description}; {assessment.contrast}"]
            if assessment.base and assessment.contrast
            else []
        )
        lead += assessment.figures
        because = (*lead, *assessment.signs[:2], *beside, *cleared, *_place_of(theory, evidence))
        return _say(theory, Support.SUPPORTED, because, assessment.against)
    if assessment.base is None:
        return _unseen(theory, evidence)
    passed = theory.needs & set(assessment.matching)
    if assessment.against and not (passed or assessment.figures):
        if other := _other_symptom(assessment, evidence):
            return _say(theory, Support.UNTESTED, (other,), assessment.against)
        if assessment.chance and not _explained(assessment.base, assessments):
            return _say(theory, Support.UNTESTED, (COMES_AND_GOES,), assessment.against)
        return _say(theory, Support.REFUTED, (assessment.base.description, *assessment.against))
    if assessment.against:
        for_it = (*assessment.figures, *_sentences(sorted(passed), evidence))
        return _say(
            theory, Support.UNTESTED, ("the evidence conflicts",), for_it + assessment.against
        )
    missing = _missing(assessment, passed, evidence) or _rivals(assessment, assessments)
    if missing:
        return _say(
            theory, Support.UNTESTED, (assessment.base.description, *assessment.figures, missing)
        )
    because = (
        assessment.base.description,
        *assessment.figures,
        *([assessment.contrast] if assessment.contrast else []),
        *_sentences([name for name in assessment.matching if name in theory.needs], evidence),
        *_place_of(theory, evidence),
        *_sentences([name for name in assessment.matching if name not in theory.needs], evidence),
    )
    return _say(theory, Support.SUPPORTED, because)


def _missing(assessment: Assessment, passed: frozenset[str], evidence: Evidence) -> str | None:
    """Describe what is missing to support it; None when nothing is."""
    theory, base = assessment.theory, assessment.base
    assert base is not None
    if base.runs[0].name not in TWINS:
        if len(base.affected) < 2:
            return "a single failure outside the baseline can be chance"
        passed &= {"rebuild_compiled"}  # that an uncompiled step is well is how it was chosen
    if not passed:
        return f"needs {' or '.join(n for n in TABLE if n in theory.needs)}"
    if theory.id != "memory":
        return None
    # Dead, slow and killed can be anything: either a figure says that it is memory, or two
    # smaller trainings pass, and so early that nothing else had the time to grow.
    if assessment.figures:
        return "memory grows from step to step" if _grew_first(base.affected[0], evidence) else None
    if base.wanted <= {Kind.DEAD, Kind.SLOW, Kind.JUMP}:
        return "no figure points to memory: neither the projection, nor swap, nor page faults"
    if len(passed) < 2 or (base.stop or 0) > 2:
        return "one smaller training alone is not enough"
    return None


def _other_symptom(assessment: Assessment, evidence: Evidence) -> str | None:
    """Another symptom that it explains: what refutes it as the cause of one says nothing of that.

    Step times are left out: each variation has its own.
    """
    assert assessment.base is not None
    mine = assessment.theory.explains - effects.alike(assessment.base.wanted) - effects.SLOWNESS
    runs = [run for run in evidence.runs if run.kinds & mine]
    return f"it does not cause the baseline's symptom, but {describe(runs)}" if runs else None


def _explained(base: Reference, assessments: dict[str, Assessment]) -> bool:
    """Return True if an uncontradicted hypothesis explains this symptom."""
    return any(
        other.base is not None and other.theory.explains & base.wanted and not other.against
        for other in assessments.values()
    )


def _rivals(assessment: Assessment, assessments: dict[str, Assessment]) -> str | None:
    base = assessment.base
    assert base is not None
    # Where only a compiled step shows it, the others would show in the baseline as well.
    own = base.runs[0].name not in TWINS
    open_ = [
        other.theory.title
        for other in assessments.values()
        if other.theory.id != assessment.theory.id
        and not (own and other.base is None)
        and COMPANIONS.get(assessment.theory.id) != other.theory.id
        and COMPANIONS.get(other.theory.id) != assessment.theory.id
        and other.theory.explains & base.wanted
        and not other.against
    ]
    return f"not yet separated from: {', '.join(open_)}" if open_ else None


def _unseen(theory: Theory, evidence: Evidence) -> Hypothesis:
    """The verdict where the references lack the symptom: refuted if enough runs could show it."""
    elsewhere = [run for run in evidence.runs if run.kinds & theory.explains]
    if elsewhere:
        elsewhere_text = describe(evidence.groups[elsewhere[0].name], theory.explains)
        known = any(evidence.groups.get(name) for name in TWINS)
        beside = "the baseline does not" if known else "and the baseline was not run"
        return _say(theory, Support.UNTESTED, (f"{elsewhere_text}, {beside}",))
    shows = [n for n in TABLE if (c := cell(n, theory)) and c.effect is Effect.SHOWS]
    if missing := [name for name in shows if not runs_of(theory, [name], evidence)]:
        if any(not run.compiles for name in missing for run in evidence.groups.get(name, ())):
            return _say(theory, Support.UNTESTED, ("compilation was off in these runs",))
        return _say(theory, Support.UNTESTED, (f"needs {', '.join(missing)}",))
    well = informative_runs(theory, evidence)
    if well and not any(evidence.groups.get(name) for name in TWINS):
        return _say(theory, Support.UNTESTED, (f"needs {BASELINE}",))
    absence = quantities.absence(theory.id, well) if well else None
    if absence and quantities.may_hide(well) <= theory.unseen:
        return _say(theory, Support.REFUTED, (absence, *_sentences(shows, evidence)))
    stopped = [r for n in TWINS for r in evidence.groups.get(n, ()) if r.kinds & STOPS]
    if stopped and theory.explains & STOPS:
        kinds = " or ".join(kind.value for kind in Kind if kind in theory.explains)
        return _say(
            theory, Support.REFUTED, (f"{describe(stopped)}; this hypothesis expects: {kinds}",)
        )
    if stopped:
        return _say(
            theory, Support.UNTESTED, (f"{describe(stopped)}, before the symptom could appear",)
        )
    if absence:
        needed = quantities.clean_runs(theory.unseen)
        few = f"too few runs: {needed} clean runs are needed, {len(well)} exist"
        return _say(theory, Support.UNTESTED, (f"{few}; {absence}",))
    blind = evidence.settings is None and not any(
        quantities.measured(theory.id, r) for r in evidence.runs
    )
    reason = "the command does not report the figure" if blind else "no run could show it"
    return _say(theory, Support.UNTESTED, (reason,))


def _rides(
    deferred: Hypothesis, memory: Hypothesis, assessments: dict[str, Assessment], evidence: Evidence
) -> Hypothesis:
    """Step 0 passes and step 1 dies of memory: it is step 0's work that step 1 evaluates."""
    base = assessments["memory"].base
    if memory.verdict is not Support.SUPPORTED or base is None or base.stop != 1:
        return deferred
    theory = assessments["deferred"].theory
    because = [f"{base.description}: its loss needs the backward pass and update of step 0"]
    for name in ("eval_after_update", "eval_parameters_only"):
        runs = evidence.groups.get(name)
        actual = effects.effect(assessments["memory"].theory, base, runs) if runs else None
        if runs and actual is Effect.STAYS:
            return _say(theory, Support.REFUTED, (f"{describe(runs)}, although it defers no work",))
        if runs and actual is Effect.MOVES:
            because.append(describe(runs))
    return _say(theory, Support.SUPPORTED, tuple(because))


# --- sentences ------------------------------------------------------------------------------------


def _place_of(theory: Theory, evidence: Evidence) -> tuple[str, ...]:
    """Locate the fault in the backward pass or the update, if both sides were run.

    `grad_without_update` is left out on purpose: its backward pass never runs, so that it
    completes whichever of the two is at fault.
    """
    names = ("grad_evaluated_without_update", "update_without_grad")
    if theory.id not in ("deadlock", "stale_compile", "corruption"):
        return ()
    base = effects.reference(theory, evidence.groups)
    sides = [evidence.groups.get(name) for name in names]
    if base is None or not all(sides):
        return ()
    backward, update = (effects.effect(theory, base, runs) for runs in sides if runs)
    if backward is Effect.CLEARS and update not in (None, Effect.CLEARS):
        return (f"it lies in the update: {names[1]} shows it, {names[0]} does not",)
    if update is Effect.CLEARS and backward not in (None, Effect.CLEARS):
        return (f"it lies in the backward pass: {names[0]} shows it, {names[1]} does not",)
    return ()


def _sentences(names: Sequence[str], evidence: Evidence) -> tuple[str, ...]:
    return tuple(describe(evidence.groups[name]) for name in names if name in evidence.groups)


def _say(
    theory: Theory, verdict: Support, because: Sequence[str], conflicts: Sequence[str] = ()
) -> Hypothesis:
    return Hypothesis(
        id=theory.id,
        title=theory.title,
        verdict=verdict,
        because=tuple(because[:MOST]),
        conflicts=tuple(conflicts[:MOST]),
    )
