"""Each run as a bar of time: when it started up, stepped, stood still and was judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.beats.record import Record
from harness.model import Outcome, ScenarioResult
from harness.text.units import duration

WIDTH = 1000
"""The width of a bar's drawing; a unit is about a pixel."""
TICKS = 400
"""Steps that are marked one by one at most: more would be a block of color."""


@dataclass(frozen=True)
class Course:
    """Seconds since the worker's start; None or empty when no beat says."""

    ready: float | None = None
    """The start of the first step, in seconds after the start of the run."""
    steps: tuple[float, ...] = ()
    """The returns of the steps; only the last one when there are more than TICKS."""


@dataclass(frozen=True)
class Part:
    kind: str
    """`startup`, `steps`, `stalled` or `after`."""
    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Mark:
    kind: str
    """`stall` or `verdict`."""
    x: float


@dataclass(frozen=True)
class Bar:
    name: str
    outcome: str
    parts: tuple[Part, ...]
    marks: tuple[Mark, ...]
    ticks: str
    """The path of an SVG."""
    text: str


def course(record: Record) -> Course:
    """The times of the parts of a run."""
    if record.start is None or not record.t:
        return Course()
    times = record.t if len(record.t) <= TICKS else record.t[-1:]
    took = sum(column[0] for column in record.phases.values())
    return Course(
        ready=max(0.0, record.t[0] - took - record.start.t),
        steps=tuple(t - record.start.t for t in times),
    )


def bar(name: str, result: ScenarioResult, course: Course, longest: float) -> Bar:
    """The bar of a run beside others of which the longest took `longest` seconds."""
    end = result.wall_s
    begins = _begins(result, course)
    parts = tuple(
        Part(
            kind,
            _x(begin, longest),
            max(1.0, _x(until - begin, longest)),
            f"{_LABELS[kind]}: {duration(begin)} to {duration(until)}",
        )
        for (kind, begin), until in zip(begins, [t for _, t in begins[1:]] + [end], strict=False)
    )
    moments = (("stall", result.stalled_at_s), ("verdict", result.detected_at_s))
    marks = tuple(Mark(kind, _x(t, longest)) for kind, t in moments if t is not None and t <= end)
    steps = {round(_x(t, longest), 1) for t in course.steps if 0 <= t <= end}
    ticks = "".join(f"M{x:g} 7v10" for x in sorted(steps)) if len(course.steps) > 1 else ""
    return Bar(name, result.outcome.value, parts, marks, ticks, _describe(result))


_LABELS = {
    "startup": "start-up",
    "steps": "steps",
    "stalled": "no progress",
    "after": "evidence taken, and ended",
}


def _begins(result: ScenarioResult, course: Course) -> list[tuple[str, float]]:
    """The parts in the order in which they come, and when each begins."""
    if result.outcome is Outcome.SKIPPED:
        return []
    begins = [("startup", 0.0)]
    if course.ready is not None:
        begins.append(("steps", course.ready))
    if result.stalled_at_s is not None and result.detected_at_s is not None:
        stalled = result.stalled_at_s
        begins = [(kind, t) for kind, t in begins if t <= stalled]
        begins += [("stalled", stalled), ("after", result.detected_at_s)]
    return [(kind, t) for kind, t in begins if 0 <= t <= result.wall_s]


def _describe(result: ScenarioResult) -> str:
    if result.outcome is Outcome.SKIPPED:
        return "not run"
    if result.stalled_at_s is None or result.detected_at_s is None:
        return duration(result.wall_s)
    return (
        f"last progress at {duration(result.stalled_at_s)}, "
        f"verdict {duration(result.detected_at_s - result.stalled_at_s)} later"
    )


def _x(t: float, longest: float) -> float:
    share = max(0.0, t) / longest if longest > 0 else 0.0
    return round(min(share, 1.0) * WIDTH, 2) if math.isfinite(share) else 0.0


@dataclass(frozen=True)
class Tick:
    x: float
    text: str


def scale(begin: float, end: float) -> Sequence[Tick]:
    """Round times between two, at most six, and where they stand below the bars."""
    span = end - begin
    if not (0 < span < _AGES and abs(begin) < _AGES):
        return [Tick(0.0, duration(0))]
    step = next(unit for unit in _round() if span / unit < 6)
    first, last = math.ceil(begin / step - 1e-9), math.floor(end / step + 1e-9)
    return [Tick(_x(i * step - begin, span), duration(i * step)) for i in range(first, last + 1)]


_AGES = 1e12
"""Seconds of which no axis makes sense."""


def _round() -> Iterator[float]:
    """Steps of a clock from the shortest on: of 1, 2 and 5, then of parts of minutes and hours."""
    yield from (n * 10.0**power for power in range(-6, 1) for n in (1, 2, 5))
    yield from (10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0)
    yield from (4 * 3600.0 * 2**n for n in range(40))
