"""Mermaid charts, which GitHub draws from their text, of the curves that say something."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from operator import le

from harness.beats.record import Record
from harness.report.input import Group, ReportInput
from harness.report.sections.scenario import pending
from harness.scenario.load import BASELINE

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
    """The charts of the scenario's worst run, and what was pending in its steps: all of the
    baseline's, else what a finding is on."""
    result = group.worst
    codes = {finding.code for finding in result.findings}
    wanted = [c for c in CURVES if group.name == BASELINE or codes & c.codes]
    looked_at = group.name == BASELINE or "graph_growth" in codes
    if not wanted and not looked_at:
        return ""
    record = data.record(result)
    drawn = [draw(curve, group.name, record) for curve in wanted]
    drawn.append(pending(record) if looked_at else "")
    return "\n\n".join(chart for chart in drawn if chart)


def draw(curve: Curve, name: str, record: Record) -> str:
    """One chart; empty below three finite values, for a flat line, and where Mermaid has no way to
    write the values."""
    steps, column = curve.steps(record), curve.values(record)
    known = bytearray(map(math.isfinite if curve.unit == "loss" else partial(le, 0), column))
    values: Sequence[float] = array("d", compress(column, known))
    if len(values) < 3:
        return ""
    first, last = steps[known.index(True)], steps[known.rindex(True)]
    low, high = min(values), max(values)
    if low == high or first >= last:
        return ""
    values, unit = [value * curve.scale for value in downsample(values)], curve.unit
    if low > 0 and high / low > 1e3:
        values, unit = [math.log10(value) for value in values], f"log10 of {unit}"
    elif max(abs(low), abs(high)) * curve.scale > HUGE:
        return ""
    low, high = min(0.0, *values), max(0.0, *values)
    places = max(0, 4 - math.ceil(math.log10(max(-low, high, 1e-6))))
    title = f"{re.sub(r'[^A-Za-z0-9_. -]', '_', name)[:60]}: {curve.title}"
    if curve.unit == "loss" and (missing := known.count(False)):
        title += f" ({missing} not finite)"
    return (
        f'```mermaid\nxychart-beta\n    title "{title}"\n'
        f'    x-axis "step" {first} --> {last}\n'
        f'    y-axis "{unit}" {low:.{places}f} --> {high:.{places}f}\n'
        f"    line [{', '.join(f'{value:.{places}f}' for value in values)}]\n```"
    )


def downsample(values: Sequence[float]) -> list[float]:
    """At most POINTS of the values, evenly placed: of each slice the lowest and the highest, in
    their order, so that no spike is lost."""
    if len(values) <= POINTS:
        return list(values)
    drawn: list[float] = []
    slices = POINTS // 2
    for i in range(slices):
        part = values[i * len(values) // slices : (i + 1) * len(values) // slices]
        low, high = min(part), max(part)
        drawn += [low, high] if part.index(low) <= part.index(high) else [high, low]
    return drawn
