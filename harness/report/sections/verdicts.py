"""The verdicts of all runs: in a few words, and as a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from harness import stats
from harness.model import Finding, Outcome, RunResult, ScenarioResult, Severity
from harness.model.beats import BETWEEN
from harness.report.input import WORST_FIRST, Group, ReportInput, groups
from harness.report.sections.attached import attachments
from harness.report.text import NOTHING, cell, code, line, table
from harness.text import phrases
from harness.text.units import duration, number, plural

SYMBOLS = {
    Outcome.COMPLETED: "✅",
    Outcome.HUNG: "⛔",
    Outcome.DIVERGED: "📈",
    Outcome.CRASHED: "💥",
    Outcome.UNFINISHED: "⏳",
    Outcome.SKIPPED: "⏭️",
}
TITLES = ("scenario", "outcome", "steps", "step time", "loss", "active / peak", "findings")
LEGEND = (
    "Step time: median. Active / peak: the highest MLX memory after a step and inside one, in P, "
    "the size of the trainable parameters. A finding is *expected* when the scenario declares it."
)
REASON = 240
"""Characters of a reason in the title."""
CODES = 8
"""Findings that a row of the table names at most."""


def verdicts(data: ReportInput) -> str:
    """The table: a row a scenario, repeats counted together; none where there is one run alone."""
    run = data.run
    reasons = [f"{cell(reason)}." for reason in left_out(run)]
    if len(run.results) < 2 or any(map(attachments, run.results)):
        # What is said of one run has been said; of an attached process there are no steps.
        return "\n\n".join(reasons)
    rows = [_row(group) for group in groups(run)]
    return "\n\n".join([table(TITLES, rows, "llrrlrl", 24_000), LEGEND, *reasons])


def left_out(run: RunResult) -> list[str]:
    """Sentences on the runs that were planned and not started, by reason."""
    by_reason: dict[str, list[str]] = {}
    for run_left_out in run.left_out:
        by_reason.setdefault(run_left_out.reason, []).append(run_left_out.scenario)
    lines = []
    if run.interrupted:
        done = {result.scenario for result in run.results}
        missing = [info.name for info in run.scenarios if info.name not in done]
        by_reason |= {"it was interrupted": missing} if missing else {}
    for reason, names in by_reason.items():
        some = list(dict.fromkeys(names))
        listed = ", ".join(some[:6]) + (f" and {len(some) - 6} more" if len(some) > 6 else "")
        lines.append(f"{plural(len(names), 'run')} not started, since {reason}: {listed}")
    return lines


def model(name: str) -> str:
    """A hub's id as it is; of a folder its last part alone, for the rest is its owner's."""
    is_path = name.startswith(("/", "~", ".")) or name.count("/") > 1
    return name.rstrip("/").rpartition("/")[2] if is_path else name


def headline(all_groups: Sequence[Group]) -> str:
    """The whole run in a few words. That all completed never hides that one learned nothing."""
    results = [result for group in all_groups for result in group.results]
    if not results:
        return "nothing was run"
    if len(results) == 1 and results[0].outcome is Outcome.CRASHED and results[0].reason:
        return f"crashed: {line(results[0].reason, REASON)}"
    counts = Counter(result.outcome for result in results)
    repeated = len(results) > len(all_groups)
    scenarios = plural(len(all_groups), "scenario")
    of = f"{plural(len(results), 'run')} of {scenarios}" if repeated else scenarios
    if len(counts) == 1:
        text = f"{'all ' if len(results) > 1 else ''}{of} {results[0].outcome.value}"
    else:
        each = [f"{counts[o]} {o.value}" for o in WORST_FIRST if counts[o]]
        text = f"{', '.join(each)}, of {of}"
    return text + but(results)


def but(results: Sequence[ScenarioResult], warnings: bool = False) -> str:
    """Mention runs that completed although something is wrong, or with `warnings` may be."""
    unexpected = [
        [finding for finding in result.findings if not finding.expected]
        for result in results
        if result.outcome is Outcome.COMPLETED
    ]
    wrong = [{f.code for f in found if f.severity is Severity.ERROR} for found in unexpected]
    doubtful = [
        not codes and any(f.severity is Severity.WARNING for f in found)
        for found, codes in zip(unexpected, wrong, strict=True)
    ]
    nothing = sum("parameters_unchanged" in codes for codes in wrong)
    others = sum(bool(codes - {"parameters_unchanged"}) for codes in wrong)
    parts = [f"{nothing} learned nothing"] if nothing else []
    parts += [f"{others} completed with errors"] if others else []
    parts += [f"{sum(doubtful)} with warnings"] if warnings and any(doubtful) else []
    *first, last = parts or [""]
    joined = f"{', '.join(first)} and {last}" if first else last
    return f", but {joined}" if joined else ""


def _row(group: Group) -> list[str]:
    results = group.results
    times = [r.metrics.step_s.median for r in results if r.metrics.step_s]
    return [
        code(group.name),
        outcomes(group),
        steps(results),
        duration(stats.median(times)) if times else NOTHING,
        loss(results),
        memory(results),
        # What is ordinary is told in the scenario's own section.
        findings([f for r in results for f in r.findings if f.severity is not Severity.INFO]),
    ]


def outcomes(group: Group) -> str:
    """One run: its outcome, and where and why it hung. Several: how many of each, worst first."""
    if len(group.results) > 1:
        counts = Counter(result.outcome for result in group.results)
        total = len(group.results)
        return ", ".join(
            f"{SYMBOLS[o]} {counts[o]}/{total} {o.value}" for o in WORST_FIRST if counts[o]
        )
    (result,) = group.results
    text = f"{SYMBOLS[result.outcome]} {result.outcome.value}"
    if result.outcome in (Outcome.HUNG, Outcome.CRASHED, Outcome.UNFINISHED):
        text += place(result)
    if result.cause is not None:
        text += f": {cell(result.cause.code, 40)}" + (" (proven)" if result.cause.proven else "")
    return text


def place(result: ScenarioResult) -> str:
    """The place of the end, such as ` in step 1, eval`; empty when that is not known."""
    if result.last_phase == BETWEEN:
        return f" {phrases.place(result.last_step, result.last_phase)}"
    parts = [] if result.last_step is None else [f"step {result.last_step}"]
    parts += [cell(result.last_phase, 40)] if result.last_phase else []
    return f" in {', '.join(parts)}" if parts else ""


def steps(results: Sequence[ScenarioResult]) -> str:
    """The completed steps, from the fewest to the most, and the requested number.

    Of a command that named no step there is nothing to count.
    """
    if not any(result.steps_requested or result.steps_completed for result in results):
        return NOTHING
    done = sorted(result.steps_completed for result in results)
    span = str(done[0]) if done[0] == done[-1] else f"{done[0]} to {done[-1]}"
    requested = results[0].steps_requested
    return span if requested is None else f"{span} of {requested}"


def loss(results: Sequence[ScenarioResult]) -> str:
    """First to last loss; of several runs the medians, and how many were not finite."""
    losses = [result.metrics.loss for result in results if result.metrics.loss]
    if not losses:
        return NOTHING
    text = f"{_middle(each.first for each in losses)} → {_middle(each.last for each in losses)}"
    bad = sum(not each.finite for each in losses)
    return text + (f" (not finite in {bad})" if bad and len(results) > 1 else "")


def _middle(values: Iterable[float]) -> str:
    every = list(values)
    finite = [value for value in every if math.isfinite(value)]
    return number(stats.median(finite) if finite else every[0])


def memory(results: Sequence[ScenarioResult]) -> str:
    """The highest MLX memory after a step and inside one, in P."""
    every = [result.metrics.memory for result in results]
    active = [m.active_over_p for m in every if m.active_over_p is not None]
    peak = [m.peak_over_p for m in every if m.peak_over_p is not None]
    if not active and not peak:
        return NOTHING
    parts = [number(max(part), 3) if part else NOTHING for part in (active, peak)]
    return " / ".join(parts) + " P"


def findings(listed: Sequence[Finding]) -> str:
    """The codes, the worst first and each once; errors are bold, expected ones marked."""
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    ranked = sorted(listed, key=lambda f: (f.expected, order.index(f.severity)))
    first: dict[str, Finding] = {}
    for finding in ranked:
        first.setdefault(finding.code, finding)
    marked = [_marked(finding) for finding in list(first.values())[:CODES]]
    if len(first) > CODES:
        marked.append(f"{len(first) - CODES} more")
    return ", ".join(marked)


def _marked(finding: Finding) -> str:
    text = code(line(finding.code, 40))
    if finding.expected:
        return f"{text} (expected)"
    return f"**{text}**" if finding.severity is Severity.ERROR else text
