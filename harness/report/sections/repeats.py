"""What repeats say together: outcomes and their intervals, which hangs are one, the spread."""

from __future__ import annotations

from collections.abc import Callable

from harness.analysis import repeats as together
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
    found = data.run.repeats
    if not found:
        return ""
    rows = [_row(one) for one in found]
    text = f"## Repeats\n\n{table(TITLES, rows, limit=9_000)}\n\n{LEGEND}"
    hangs = [_hang(one.scenario, hang) for one in found for hang in one.hangs]
    return text + (f"\n\n{table(HANG_TITLES, hangs, limit=6_000)}" if hangs else "")


def _row(one: RepeatSummary) -> list[str]:
    outcomes = [f"{name} {together.counted(share)}" for name, share in one.outcomes.items()]
    figures = one.figures
    return [
        code(one.scenario),
        cell("; ".join(outcomes)),
        _spread(figures.get("step_median_s"), duration),
        _spread(figures.get("peak_over_p"), lambda value: f"{number(value, 3)} P"),
        _spread(figures.get("loss_last"), number),
    ]


def _spread(found: Spread | None, shown: Callable[[float], str]) -> str:
    if found is None:
        return NOTHING
    if found.min == found.max:
        return shown(found.median)
    return f"{shown(found.median)} ({shown(found.min)} to {shown(found.max)})"


def _hang(scenario: str, hang: Hang) -> list[str]:
    return [
        code(hang.fingerprint)
        if hang.fingerprint
        else ("by several tools" if hang.wait_site else "no stacks"),
        code(scenario),
        cell(together.told(hang)),
        cell(hang.cause),
        cell(hang.wait_site or NOTHING, 160),
    ]
