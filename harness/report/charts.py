"""Mermaid charts, which GitHub draws from their text, of the curves that say something."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.record import Record
from harness.report.input import Group, ReportInput
from harness.scenario import BASELINE

POINTS = 50
HUGE = 1e12
"""Values beyond this are drawn as logarithms or not at all: Mermaid reads no exponent."""

Column = Callable[[Record], Sequence[float]]


@dataclass(frozen=True)
class Curve:
    """A quantity, how it is drawn, and the findings that make it worth drawing."""

    title: str
    unit: str
    scale: float
    steps: Column
    values: Column
    codes: frozenset[str]


CURVES = (
    Curve("step time", "ms", 1e3, lambda r: r.step, lambda r: r.seconds,
          frozenset(("step_time_jump", "slow_step"))),
    Curve("active memory", "MiB", 2**-20, lambda r: r.step, lambda r: r.active,
          frozenset(("memory_growth", "step_time_jump"))),
    Curve("loss", "loss", 1, lambda r: r.loss_step, lambda r: r.loss,
          frozenset(("loss_exploded", "loss_not_finite", "loss_spike"))),
)  # fmt: skip


def charts(group: Group, data: ReportInput) -> str:
    """The charts of the scenario's worst run: all of the baseline's, else what a finding is on."""
    result = group.worst
    codes = {finding.code for finding in result.findings}
    wanted = [c for c in CURVES if group.name == BASELINE or codes & c.codes]
    record = data.record(result) if wanted else Record()
    drawn = [draw(curve, group.name, record) for curve in wanted]
    return "\n\n".join(chart for chart in drawn if chart)


def draw(curve: Curve, name: str, record: Record) -> str:
    """One chart; empty below three finite values, for a flat line, and where Mermaid has no way to
    write the values."""
    pairs = [
        (step, value * curve.scale)
        for step, value in zip(curve.steps(record), curve.values(record), strict=True)
        if math.isfinite(value) and (curve.unit == "loss" or value >= 0)
    ]
    missing = len(curve.steps(record)) - len(pairs)
    if len(pairs) < 3 or pairs[0][0] >= pairs[-1][0]:
        return ""
    values, unit = [value for _, value in pairs], curve.unit
    low, high = min(values), max(values)
    if low == high:
        return ""
    if low > 0 and high / low > 1e3:
        values, unit = [math.log10(value) for value in values], f"log10 of {unit}"
    elif max(abs(low), abs(high)) > HUGE:
        return ""
    values = downsample(values)
    low, high = min(0.0, *values), max(0.0, *values)
    places = max(0, 4 - math.ceil(math.log10(max(-low, high, 1e-6))))
    title = f"{re.sub(r'[^A-Za-z0-9_. -]', '_', name)[:60]}: {curve.title}"
    if curve.unit == "loss" and missing:
        title += f" ({missing} not finite)"
    return (
        f'```mermaid\nxychart-beta\n    title "{title}"\n'
        f'    x-axis "step" {pairs[0][0]} --> {pairs[-1][0]}\n'
        f'    y-axis "{unit}" {low:.{places}f} --> {high:.{places}f}\n'
        f"    line [{', '.join(f'{value:.{places}f}' for value in values)}]\n```"
    )


def downsample(values: Sequence[float]) -> list[float]:
    """At most POINTS of the values, evenly placed: of each slice the lowest and the highest, in
    their order, so that no spike is lost."""
    if len(values) <= POINTS:
        return list(values)
    kept: list[float] = []
    slices = POINTS // 2
    for i in range(slices):
        part = range(i * len(values) // slices, (i + 1) * len(values) // slices)
        ends = min(part, key=values.__getitem__), max(part, key=values.__getitem__)
        kept += [values[index] for index in sorted(ends)]
    return kept
