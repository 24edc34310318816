"""The report's first lines: the verdict in words, and the table of verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.model import Finding, Outcome, RunResult, ScenarioResult, Severity
from harness.report.text import seconds, table
from harness.stats import median

SYMBOLS = {
    Outcome.COMPLETED: "✅",
    Outcome.HUNG: "⛔",
    Outcome.DIVERGED: "📈",
    Outcome.CRASHED: "💥",
    Outcome.UNFINISHED: "⏳",
    Outcome.SKIPPED: "⏭️",
}


def headline(run: RunResult) -> str:
    """The whole run in one line."""
    counts = Counter(result.outcome for result in run.results)
    bad = [outcome for outcome in Outcome if counts[outcome] and outcome is not Outcome.COMPLETED]
    if not run.results:
        told = "nothing was run"
    elif not bad:
        told = f"all {counts[Outcome.COMPLETED]} runs completed"
        learned_nothing = sum(
            any(f.code == "parameters_unchanged" and not f.expected for f in result.findings)
            for result in run.results
        )
        if learned_nothing:
            told += f", but {learned_nothing} learned nothing"
    else:
        told = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in bad)
        told += f", {counts[Outcome.COMPLETED]} completed"
    return f"MLX training step: {told}" + (" (interrupted)" if run.interrupted else "")


def verdicts(run: RunResult) -> str:
    """A row a scenario; repeats are counted together."""
    rows = []
    for name in dict.fromkeys(result.scenario for result in run.results):
        rows.append(_row(name, [r for r in run.results if r.scenario == name]))
    titles = ["scenario", "outcome", "steps", "step time", "loss", "peak memory", "findings"]
    return table(titles, rows, "llrrlrl") if rows else "No run was finished."


def _row(name: str, results: Sequence[ScenarioResult]) -> list[str]:
    times = [r.metrics.step_s.median for r in results if r.metrics.step_s]
    peaks = [p for r in results if (p := r.metrics.memory.peak_over_p) is not None]
    steps = sorted({r.steps_completed for r in results})
    losses = [r.metrics.loss for r in results if r.metrics.loss]
    loss = f"{losses[0].first:.4g} → {losses[0].last:.4g}" if losses else "–"
    if len(losses) > 1:
        loss = f"{losses[0].first:.4g} → {median([one.last for one in losses]):.4g} (median)"
    done = str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    return [
        f"`{name}`",
        _outcomes(results),
        f"{done} of {results[0].steps_requested}",
        seconds(median(times)) if times else "–",
        loss,
        f"{max(peaks):.1f} P" if peaks else "–",
        findings_cell([finding for r in results for finding in r.findings]),
    ]


def _outcomes(results: Sequence[ScenarioResult]) -> str:
    counts = Counter(result.outcome for result in results)
    if len(results) == 1:
        result = results[0]
        text = f"{SYMBOLS[result.outcome]} {result.outcome.value}"
        if result.cause is not None:
            text += f": {result.cause.code}" + (" (proven)" if result.cause.proven else "")
        return text
    return ", ".join(
        f"{SYMBOLS[outcome]} {outcome.value} {count}/{len(results)}"
        for outcome, count in counts.most_common()
    )


def findings_cell(found: Sequence[Finding]) -> str:
    """The codes, the worst first, each once; what the scenario expects is marked."""
    order = (Severity.ERROR, Severity.WARNING, Severity.INFO)
    ranked = sorted(found, key=lambda f: (f.expected, order.index(f.severity)))
    codes = {f.code: f for f in ranked}
    return ", ".join(
        f"`{code}` (expected)" if f.expected else f"`{code}`" for code, f in codes.items()
    )
