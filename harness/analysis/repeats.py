"""Summaries of the repeats of one scenario: outcomes, hangs, spread of figures. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from harness import stats
from harness.model import (
    Hang,
    Outcome,
    RepeatSummary,
    ScenarioResult,
    Share,
    Spread,
)
from harness.text.units import percent_range, plural

FIGURES: dict[str, Callable[[ScenarioResult], float | None]] = {
    "step_median_s": lambda r: r.metrics.step_s.median if r.metrics.step_s else None,
    "step_p99_s": lambda r: r.metrics.step_s.p99 if r.metrics.step_s else None,
    "step_first_s": lambda r: r.metrics.step_s.first if r.metrics.step_s else None,
    "peak_over_p": lambda r: r.metrics.memory.peak_over_p,
    "active_over_p": lambda r: r.metrics.memory.active_over_p,
    "p_per_step": lambda r: r.metrics.memory.p_per_step,
    "rss_peak": lambda r: r.metrics.memory.rss_peak,
    "loss_last": lambda r: r.metrics.loss.last if r.metrics.loss else None,
    "traces": lambda r: r.metrics.traces,
    "graph_nodes_last": lambda r: r.metrics.graph_nodes_last,
}
"""The figures of a run that repeats and comparisons look at, by name; seconds, bytes and P."""


def summarize(results: Sequence[ScenarioResult]) -> tuple[RepeatSummary, ...]:
    """A summary for each scenario with more than one result, in their order."""
    names = dict.fromkeys(result.scenario for result in results)
    groups = ([r for r in results if r.scenario == name] for name in names)
    return tuple(_summary(group) for group in groups if len(group) > 1)


def share(count: int, of: int) -> Share:
    """`count` of `of` runs, with the 95 % interval of the probability (Wilson)."""
    low, high = stats.wilson(count, of)
    return Share(count=count, of=of, low=low, high=high)


def values(results: Sequence[ScenarioResult], name: str) -> list[float]:
    """The figure of those results that have it."""
    figures = (FIGURES[name](result) for result in results)
    return [float(value) for value in figures if value is not None]


def _summary(results: Sequence[ScenarioResult]) -> RepeatSummary:
    ran = [result for result in results if result.outcome is not Outcome.SKIPPED]
    counts = Counter(result.outcome.value for result in ran)
    return RepeatSummary(
        scenario=results[0].scenario,
        outcomes={outcome: share(count, len(ran)) for outcome, count in counts.most_common()},
        hangs=tuple(_hangs(ran)),
        figures={name: figure for name in FIGURES if (figure := spread(values(ran, name)))},
    )


def spread(numbers: Sequence[float]) -> Spread | None:
    """None without values. A NaN compares with nothing; it is ranked above every number."""
    if not numbers:
        return None
    ordered = sorted(numbers, key=lambda value: (math.isnan(value), value))
    middle = stats.quantile_of_sorted(ordered, 0.5)
    return Spread(runs=len(ordered), min=ordered[0], median=middle, max=ordered[-1])


def _hangs(ran: Sequence[ScenarioResult]) -> Iterator[Hang]:
    """One for each way to hang, the most frequent first."""
    hung = [result for result in ran if result.outcome is Outcome.HUNG]
    # Each tool sees other frames, so that the fingerprints of two tools tell nothing of each other.
    compared = len({_evidence(r, "stack_tool") for r in hung if _evidence(r, "fingerprint")}) < 2
    kind = _kind if compared else _circumstances
    alike = [list(runs) for _, runs in groupby(sorted(hung, key=kind), kind)]
    for runs in sorted(alike, key=len, reverse=True):
        first = runs[0]
        steps = {result.last_step for result in runs}
        yield Hang(
            share=share(len(runs), len(ran)),
            fingerprint=_evidence(first, "fingerprint") if compared else None,
            cause=first.cause.code if first.cause else "",
            step=first.last_step if len(steps) == 1 else None,
            phase=first.last_phase,
            wait_site=_evidence(first, "wait_site"),
            repeats=tuple(result.repeat for result in runs),
        )


def _kind(result: ScenarioResult) -> tuple[str, ...]:
    """The properties that two runs of the same hang share."""
    fingerprint = _evidence(result, "fingerprint")
    return (str(fingerprint),) if fingerprint else _circumstances(result)


def _circumstances(result: ScenarioResult) -> tuple[str, ...]:
    """The properties that two runs of the same hang share, apart from stacks."""
    return ("", result.cause.code if result.cause else "", str(result.last_phase))


def _evidence(result: ScenarioResult, name: str) -> str | None:
    return result.cause.evidence.get(name) if result.cause else None


def describe_hang(hang: Hang) -> str:
    """Describe a hang: `hung at step 1 in 3 of 20 runs (5.2 to 36 %)`."""
    at = "" if hang.step is None else f" at step {hang.step}"
    return f"hung{at} in {format_share(hang.share)}"


def format_share(share: Share) -> str:
    """Format a share of runs: `3 of 20 runs (5.2 to 36 %)`."""
    return f"{share.count} of {plural(share.of, 'run')} ({percent_range(share.low, share.high)})"
