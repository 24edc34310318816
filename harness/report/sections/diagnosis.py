"""The section on hypotheses: supported, refuted and untested ones, and the next run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis.diagnosis.hypotheses import LADDER
from harness.model import Hypothesis, Outcome, RunResult, ScenarioResult, Severity, Support
from harness.report.input import ReportInput
from harness.report.text import cell, fence, line, table

NO_PROBLEM = "no problem was found"
NOT_CONFIRMED = "no known cause matched"
ORDER = (Support.SUPPORTED, Support.REFUTED, Support.UNTESTED)


def diagnosis(data: ReportInput) -> str:
    result = data.run.diagnosis
    if not worth(data.run):
        return ""
    every = ranked(result.hypotheses)
    untested = [cell(h.title) for h in every if h.verdict is Support.UNTESTED and not h.conflicts]
    rows = [
        [cell(h.title), _verdict(h), "; ".join(cell(why, 200) for why in _reasons(h))]
        for h in every
        if h.verdict is not Support.UNTESTED or h.conflicts
    ]
    text = "## Diagnosis"
    if rows:
        text += "\n\n" + table(("hypothesis", "verdict", "because"), rows, limit=9_000)
    if untested:
        text += f"\n\nNot tested by what was run: {', '.join(untested)}."
    if not any(h.verdict is Support.SUPPORTED for h in result.hypotheses):
        text += f"\n\n{none_supported(data.run.results).capitalize()}."
    if result.unexplained:
        text += f"\n\n**No hypothesis explains this symptom:** {cell(result.unexplained)}."
    if result.next_experiment:
        text += "\n\nMost informative next run:\n\n"
        text += fence(line(result.next_experiment, 500), "sh")
    if result.no_experiment:
        text += f"\n\nNo next run is suggested: {cell(result.no_experiment)}."
    return text


def worth(run: RunResult) -> bool:
    """Return True if the section says something: a run of own scenarios may test nothing."""
    diagnosis = run.diagnosis
    tested = any(h.verdict is not Support.UNTESTED for h in diagnosis.hypotheses)
    ladder = any(info.name in LADDER for info in run.scenarios)
    return bool(diagnosis.hypotheses) and (tested or ladder or diagnosis.unexplained is not None)


def ranked(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Sort the hypotheses: supported ones first, untested ones last."""
    return sorted(hypotheses, key=lambda h: ORDER.index(h.verdict))


def none_supported(results: Sequence[ScenarioResult]) -> str:
    """The sentence for a run that supports no hypothesis: that may be good news."""
    ran = [result for result in results if result.outcome is not Outcome.SKIPPED]
    well = all(
        result.outcome is Outcome.COMPLETED
        and all(f.expected or f.severity is Severity.INFO for f in result.findings)
        for result in ran
    )
    return NO_PROBLEM if ran and well else NOT_CONFIRMED


def _verdict(h: Hypothesis) -> str:
    text = f"**{h.verdict.value}**" if h.verdict is Support.SUPPORTED else h.verdict.value
    return f"{text}, evidence conflicts" if h.conflicts else text


def _reasons(h: Hypothesis) -> list[str]:
    return [*h.because[:6], *(f"but {why}" for why in h.conflicts[:4])]
