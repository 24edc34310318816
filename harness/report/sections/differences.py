"""The differences of each variation from the baseline, only where they matter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from harness import stats
from harness.model import Finding, Outcome, ScenarioResult, Severity
from harness.report.input import Group, ReportInput, groups
from harness.report.sections import verdicts
from harness.report.text import NOTHING, code, known, table
from harness.scenario.load import BASELINE
from harness.text import phrases
from harness.text.units import duration, number

PEAK_FACTOR = 1.25
"""Peaks that differ by less are not told apart: they repeat to within a few per cent."""
TIME_FACTOR = 2.0
"""Nor step times: on a busy machine the baseline and its twin differ by up to half."""
LOSS_RELATIVE = 1e-3
JUDGED_STEPS = 3
"""A run that did not get past step 1 has not cleared the baseline's jump."""

TITLES = ("scenario", "outcome", "step 1", "step time", "peak memory", "last loss", "findings")
LEGEND = "×: against the baseline, step times by their median and peaks in bytes."
Difference = Callable[[Group, Group], str]


def differences(data: ReportInput) -> str:
    """A row for each scenario that differs from the baseline; only what differs is filled in."""
    everything = groups(data.run)
    base = next((group for group in everything if group.name == BASELINE), None)
    others = [group for group in everything if group.name != BASELINE]
    if not others or len(everything) < 2:
        return ""
    title = "## What differs between the variations\n\n"
    if base is None:
        return f"{title}{code(BASELINE)} was not run: there is nothing to compare with."
    rows = [
        [code(group.name), *cells]
        for group in others
        if any(cells := [differs(base, group) for differs in DIFFERENCES])
    ]
    if not rows:
        return f"{title}Nothing that matters: every variation does what {code(BASELINE)} does."
    same = len(others) - len(rows)
    # A column in which nothing differs says nothing.
    columns = [0, *(i for i in range(1, len(TITLES)) if any(row[i] for row in rows))]
    rows.insert(0, _reference(base))
    picked = [[row[i] for i in columns] for row in (TITLES, *rows)]
    text = f"{title}{table(picked[0], picked[1:], limit=9_000)}\n\n{LEGEND}"
    return text + (f" The other {same} do as the baseline does." if same else "")


def _reference(base: Group) -> list[str]:
    time, peak, last = _time(base), _peak(base), _last(base)
    return [
        f"{code(BASELINE)} (reference)",
        _outcome_counts(base),
        f"jumps {number(jump, 2)} times" if (jump := _jump(base)) else "no jump",
        known(time, duration),
        NOTHING if peak is None else f"{number(peak[1], 3)} P",
        NOTHING if last is None else number(last),
        verdicts.findings(_notable(base)),
    ]


def _outcome(base: Group, other: Group) -> str:
    ours, theirs = _shares(other), _shares(base)
    if ours != theirs:
        return _outcome_counts(other)
    # The same end in another step is another answer.
    steps = {r.last_step for r in other.results}, {r.last_step for r in base.results}
    if other.fine or base.fine or steps[0] & steps[1]:
        return ""
    place = phrases.place(other.worst.last_step, other.worst.last_phase)
    return f"{_outcome_counts(other)} {place}".rstrip()


def _outcome_counts(group: Group) -> str:
    counts = Counter(result.outcome.value for result in group.results)
    total = len(group.results)
    return ", ".join(f"{n}/{total} {name}" if total > 1 else name for name, n in counts.items())


def _shares(group: Group) -> dict[str, float]:
    counts = Counter(result.outcome.value for result in group.results)
    return {name: n / len(group.results) for name, n in counts.items()}


def _step_1(base: Group, other: Group) -> str:
    ours, theirs = _jump(other), _jump(base)
    went_on = min(result.steps_completed for result in other.results) >= JUDGED_STEPS
    if (ours is None) == (theirs is None) or not went_on:
        return ""
    return "no jump" if ours is None else f"jumps {number(ours, 2)} times"


def _jump(group: Group) -> float | None:
    """The ratio of step 1 to step 0, where it was a finding."""
    for result in group.results:
        for finding in result.findings:
            evidence = finding.evidence
            ratio = evidence.get("ratio")
            if (
                finding.code == "step_time_jump"
                and evidence.get("step") == 1
                and isinstance(ratio, int | float)
            ):
                return float(ratio)
    return None


def _step_time(base: Group, other: Group) -> str:
    ours, theirs = _time(other), _time(base)
    if ours is None or not theirs or 1 / TIME_FACTOR < (ratio := ours / theirs) < TIME_FACTOR:
        return ""
    return f"× {number(ratio, 2)} ({duration(ours)})"


def _peak_memory(base: Group, other: Group) -> str:
    ours, theirs = _peak(other), _peak(base)
    if ours is None or theirs is None or theirs[0] <= 0:
        return ""
    ratio = ours[0] / theirs[0]
    if 1 / PEAK_FACTOR < ratio < PEAK_FACTOR:
        return ""
    return f"× {number(ratio, 2)} ({number(ours[1], 3)} P)"


def _last_loss(base: Group, other: Group) -> str:
    ours, theirs = _last(other), _last(base)
    if ours is None or theirs is None or (math.isnan(ours) and math.isnan(theirs)):
        return ""
    return "" if math.isclose(ours, theirs, rel_tol=LOSS_RELATIVE) else number(ours)


def _findings(base: Group, other: Group) -> str:
    known = {finding.code for finding in _notable(base)}
    ours = _notable(other)
    more = verdicts.findings([finding for finding in ours if finding.code not in known])
    less = sorted(known - {finding.code for finding in ours} - {"step_time_jump"})
    return ", ".join([more] * bool(more) + [f"no {code(name)}" for name in less])


def _notable(group: Group) -> list[Finding]:
    """The findings that tell variations apart; what is only for information does not."""
    findings = [finding for result in group.results for finding in result.findings]
    return [finding for finding in findings if finding.severity is not Severity.INFO]


DIFFERENCES: tuple[Difference, ...] = (
    _outcome,
    _step_1,
    _step_time,
    _peak_memory,
    _last_loss,
    _findings,
)
"""A column each, in the order of TITLES; an empty string where there is nothing to tell apart."""


def _time(group: Group) -> float | None:
    return _median([r.metrics.step_s.median for r in group.results if r.metrics.step_s])


def _last(group: Group) -> float | None:
    # The last loss of a run that stopped is that of another step.
    results = [r for r in group.results if r.outcome in (Outcome.COMPLETED, Outcome.DIVERGED)]
    losses = [r.metrics.loss.last for r in results if r.metrics.loss]
    finite = [loss for loss in losses if math.isfinite(loss)]
    return _median(finite) if finite else next(iter(losses), None)


def _peak(group: Group) -> tuple[float, float] | None:
    """Highest active memory inside a step over all runs, in bytes and in P."""
    peaks = [peak for result in group.results if (peak := _peak_of(result)) is not None]
    return max(peaks, default=None)


def _peak_of(result: ScenarioResult) -> tuple[float, float] | None:
    memory = result.metrics.memory
    if memory.peak_over_p is None or memory.parameter_bytes is None:
        return None
    return memory.peak_over_p * memory.parameter_bytes, memory.peak_over_p


def _median(values: Sequence[float]) -> float | None:
    return stats.median(values) if values else None
