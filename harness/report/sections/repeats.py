"""The section on repeats: outcomes with intervals, kinds of hangs, the spread."""

from __future__ import annotations

from collections.abc import Callable

from harness.analysis.repeats import describe_hang, format_share
from harness.model import Hang, RepeatSummary, Spread
from harness.report.input import ReportInput
from harness.report.text import NOTHING, cell, code, table
from harness.text.units import duration, number

TITLES = ("scenario", "outcomes", "step time", "peak", "last loss")
LEGEND = (
    "In brackets the 95 % interval of the probability (Wilson), and the lowest and highest of the "
    "figures beside their median."
)
HANG_TITLES = ("hang", "scenario", "how often", "cause", "waits")


def repeats(data: ReportInput) -> str:
    summaries = data.run.repeats
    if not summaries:
        return ""
    rows = [_row(summary) for summary in summaries]
    text = f"## Repeats\n\n{table(TITLES, rows, limit=9_000)}\n\n{LEGEND}"
    hangs = [_hang(summary.scenario, hang) for summary in summaries for hang in summary.hangs]
    return text + (f"\n\n{table(HANG_TITLES, hangs, limit=6_000)}" if hangs else "")


def _row(summary: RepeatSummary) -> list[str]:
    outcomes = [f"{name} {format_share(share)}" for name, share in summary.outcomes.items()]
    figures = summary.figures
    return [
        code(summary.scenario),
        cell("; ".join(outcomes)),
        _spread(figures.get("step_median_s"), duration),
        _spread(figures.get("peak_over_p"), lambda value: f"{number(value, 3)} P"),
        _spread(figures.get("loss_last"), number),
    ]


def _spread(spread: Spread | None, write: Callable[[float], str]) -> str:
    if spread is None:
        return NOTHING
    if spread.min == spread.max:
        return write(spread.median)
    return f"{write(spread.median)} ({write(spread.min)} to {write(spread.max)})"


def _hang(scenario: str, hang: Hang) -> list[str]:
    return [
        code(hang.fingerprint)
        if hang.fingerprint
        else ("by several tools" if hang.wait_site else "no stacks"),
        code(scenario),
        cell(describe_hang(hang)),
        cell(hang.cause),
        cell(hang.wait_site or NOTHING, 160),
    ]
