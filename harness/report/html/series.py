"""The record of a run as curves over its steps, short enough for a page."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, pairwise
from operator import le

from harness.beats.record import NOT_WORK, Record
from harness.detect.ranks.state import AFTER
from harness.model import Sample
from harness.report.text import line

WHOLE = "whole step"
TIME, MEMORY, LOSS, GRAPH = "time", "memory", "loss", "graph"


@dataclass(frozen=True)
class Curve:
    """One quantity of one run, in seconds, bytes, or what the quantity is counted in."""

    chart: str
    quantity: str
    steps: list[float]
    """Strictly ascending, parallel to `values`. A step that came more than once may have two: its
    lowest value and its highest, half a step apart."""
    values: list[float]
    not_finite: int = 0
    """Values that are left out because they are NaN or infinite."""


def curves(record: Record, samples: Iterable[Sample], points: int) -> list[Curve]:
    """Every quantity of a run that has a value, each in at most about `points` points."""
    columns: list[tuple[str, str, Sequence[int], Sequence[float]]] = [
        (TIME, WHOLE, record.step, record.seconds),
        *(
            (TIME, line(name, 60), record.step, seconds)
            for name, seconds in record.phases.items()
            if name not in NOT_WORK
        ),
        (MEMORY, "active", record.step, record.active),
        (MEMORY, "peak", record.step, record.peak),
        (MEMORY, "cache", record.step, record.cache),
        *((MEMORY, name, *column) for name, column in highest(samples).items()),
        (LOSS, "loss", record.loss_step, record.loss),
        (GRAPH, "pending", record.node_step, record.nodes),
        (GRAPH, "depth", record.node_step, record.depth),
        (GRAPH, "left", record.left_step, record.left),
        (GRAPH, "of earlier steps", record.left_step, record.carried),
    ]
    made = (curve(*column, points) for column in columns)
    return [drawn for drawn in made if drawn.values or drawn.not_finite]


def curve(
    chart: str, quantity: str, steps: Sequence[int], values: Sequence[float], points: int
) -> Curve:
    """The curve of a column, in which a missing size is negative."""
    missing = 0
    indices = landmarks(values, points)
    # The lowest of all is among the landmarks, unless NaN is: no pass over a million values more.
    whole = math.isfinite(sum(values)) if chart == LOSS else all(values[i] >= 0 for i in indices)
    if not whole:
        known = math.isfinite if chart == LOSS else partial(le, 0)
        mask = bytearray(map(known, values))
        missing = mask.count(0) if chart == LOSS else 0
        steps, values = array("q", compress(steps, mask)), array("d", compress(values, mask))
        indices = landmarks(values, points)
    at: Sequence[float] = [steps[i] for i in indices]
    if any(a >= b for a, b in pairwise(at)):  # a log that began anew
        at, indices = ascending(steps, values, indices)
    return Curve(chart, quantity, list(at), [rounded(values[i]) for i in indices], missing)


def ascending(
    steps: Sequence[int], values: Sequence[float], indices: Iterable[int]
) -> tuple[list[float], list[int]]:
    """Place the entries `indices` so that each step has its lowest and highest value."""
    by_step: dict[int, list[int]] = {}
    for i in indices:
        by_step.setdefault(steps[i], []).append(i)
    at: list[float] = []
    chosen: list[int] = []
    for step in sorted(by_step):
        same = by_step[step]
        ends = {min(same, key=values.__getitem__), max(same, key=values.__getitem__)}
        at += [step, step + 0.5][: len(ends)]
        chosen += sorted(ends)
    return at, chosen


def landmarks(values: Sequence[float], points: int) -> list[int]:
    """Indices of the first value, the last, and of each slice the lowest and the highest, so that
    no spike is lost; all of them when there are no more than `points`."""
    count = len(values)
    if count <= points:
        return list(range(count))
    indices = {0, count - 1}
    slices = points // 2
    for i in range(slices):
        begin = i * count // slices
        part = list(values[begin : (i + 1) * count // slices])
        indices.add(begin + part.index(min(part)))
        indices.add(begin + part.index(max(part)))
    return sorted(indices)


def rounded(value: float) -> float:
    """Six digits: more than a screen can show. Whole numbers stay as they are."""
    return int(value) if value == int(value) and abs(value) < 1e15 else float(f"{value:.6g}")


def highest(samples: Iterable[Sample]) -> dict[str, tuple[array[int], array[int]]]:
    """The highest RSS, and memory of its own in RAM or not, that was seen in each step.

    What was seen before the first step is none's; work that was put off until after the last is
    the last one's.
    """
    columns = {name: (array("q"), array("q")) for name in ("RSS", "footprint")}
    for sample in samples:
        if sample.step is None:
            continue
        step = sample.step - (sample.phase in AFTER)
        if step < 0:
            continue
        for (steps, values), value in zip(
            columns.values(), (sample.rss, sample.footprint), strict=True
        ):
            if value is None:
                continue
            if steps and steps[-1] == step:
                values[-1] = max(values[-1], value)
            else:
                steps.append(step)
                values.append(value)
    return columns
