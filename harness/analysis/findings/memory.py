"""Findings about growth: active memory, process memory, and the pending graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness import stats
from harness.analysis.findings import inputs
from harness.analysis.findings.trend import still_grows
from harness.beats.record import Record
from harness.model import Finding
from harness.model.finding import info, warning
from harness.text.units import duration, number, plural, size

WARM_UP = 2
"""Steps left out: optimizer state and the first deferred backward pass arrive in steps 0 and 1."""
MATERIAL = 0.2
"""Growth over the whole run, in units of P, below which it does not matter."""
MATERIAL_BYTES = 1 << 20
"""The same where P is not known."""
SMALL = 1 << 16
"""Bytes below which no growth matters, however small P is."""
OWN_BYTES = 64 << 20
"""The same of all that a process holds, of which caches and allocators are a part."""
OWN_SHARE = 0.25
"""The same, relative to what it held after its warm-up."""
LOOKS = 12
"""After the warm-up, below which nothing is said of what a process holds."""
PRINTED_SHARE = 0.05
"""The same of the memory that a log gives, beside the number of its parameters."""
NO_STEPS_S = 60.0
"""The same in seconds, where nobody knows whether it has begun to train."""
REST = 0.1
"""Share of the time: memory that has not grown for so long at the end is at rest."""
NODES_PER_STEP = 5.0
"""Reading only the loss leaves one or two unused scalars a step behind, which is harmless."""
NODES_TOTAL = 0.5
"""Growth relative to the first graph that was looked at."""


def memory_growth(record: Record) -> Iterator[Finding]:
    warm_up = max(WARM_UP, len(record.active) // 10)
    points = [
        (warm_up + index, float(size))
        for index, size in stats.blocks(record.active[warm_up:])
        if size >= 0
    ]
    if not points:
        return
    known = record.model is not None and record.model.trainable_bytes > 0
    unit = float(record.model.trainable_bytes) if known and record.model else points[0][1]
    floor = float(SMALL if known else MATERIAL_BYTES)
    if record.model is not None and record.model.printed:
        # What else a process holds is in a log's figures, and they are rounded.
        floor = max(OWN_BYTES, PRINTED_SHARE * points[0][1])
    slope = still_grows(points, max(MATERIAL * unit, floor))
    if slope is None:
        return
    growth = slope.value * (points[-1][0] - points[0][0])
    arrays = _more_arrays(record)
    if inputs.growth(record) and not arrays:
        return  # what a step leaves pending grows with its batch
    ends = inputs.ends_at(record, record.active[-1], slope.value)
    steps = record.step[warm_up], record.step[-1]
    name = "P" if known else "times its first size"
    yield warning(
        "memory_growth",
        f"active memory grows by {number(slope.value / unit, 3)} {name} per step "
        f"(± {number(slope.margin / unit, 2)}) over steps {steps[0]} to {steps[1]}"
        + (f", and the program holds {plural(arrays, 'more array')} after each" if arrays else "")
        + inputs.rate(ends),
        p_per_step=slope.value / unit if known else None,
        p_per_step_margin=slope.margin / unit if known else None,
        bytes_per_step=round(slope.value),
        first_step=steps[0],
        last_step=steps[1],
        growth_bytes=round(growth),
        ends_at_step=ends,
        arrays_per_step=arrays,
    )


def _more_arrays(record: Record) -> float | None:
    """Arrays that the program holds more after each step; None where it does not hold more."""
    counts = [
        (float(step), float(count))
        for step, count in zip(record.arrays_step, record.arrays, strict=True)
        if step >= WARM_UP
    ]
    if len(counts) < 3 or any(b <= a for (_, a), (_, b) in pairwise(counts)):
        return None
    slope = (counts[-1][1] - counts[0][1]) / (counts[-1][0] - counts[0][0])
    return slope if slope >= 0.5 else None


def rss_growth(record: Record) -> Iterator[Finding]:
    """Report growth of the process, for a run whose MLX does not report its memory."""
    if any(size >= 0 for size in record.active) or not record.seen_t:
        return
    measure = "rss" if max(record.footprint) < 0 else "footprint"
    points = _evenly(record, record.rss if measure == "rss" else record.footprint)
    if len(points) < LOOKS:
        return
    (begin, first), (end, _) = points[0], points[-1]
    stepping = bool(record.step)
    if not stepping and end - begin < NO_STEPS_S:
        return
    slope = stats.theil_sen(points)
    if slope.low * (end - begin) <= max(OWN_BYTES, OWN_SHARE * first):
        return
    # A cache that fills and stays, a model that is loaded again: only what goes on is growth.
    third = len(points) // 3
    rest = max(6, round(REST * len(points)))
    for part in (points[:third], points[third:-third], points[-third:], points[-rest:]):
        if stats.theil_sen(part).value < slope.value / 3:
            return
    growth = slope.value * (end - begin)
    steps = _steps_between(record, begin, end) if stepping else 0
    per_step = growth / steps if steps else None
    growth_rate = (
        f"{size(per_step)} per step" if per_step else f"{size(slope.value * 60)} per minute"
    )
    yield (warning if stepping else info)(
        "rss_growth",
        f"the memory of the process grows by {growth_rate}"
        f", {size(growth)} over {duration(end - begin)}, and still grows",
        bytes_per_step=per_step and round(per_step),
        bytes_per_minute=round(slope.value * 60),
        growth_bytes=round(growth),
        first_bytes=round(first),
        seconds=end - begin,
        steps=steps or None,
        measure=measure,
    )


def _evenly(record: Record, sizes: Sequence[int]) -> list[tuple[float, float]]:
    """(time, size) at looks that are equally far apart, from the end of the warm-up on.

    That is a tenth of the time, or all before the second step that was told of. What comes after
    the last step is left out as well: a process that ends gives back what it held.
    """
    times = record.seen_t
    end = min(times[-1], record.t[-1]) if record.step else times[-1]
    begin = times[0] + (end - times[0]) / 10
    if record.step:
        begin = max(begin, record.t[min(1, len(record.t) - 1)])
    width = (end - begin) / stats.BLOCKS
    parts: dict[int, list[tuple[float, int]]] = {}
    for t, held in zip(times, sizes, strict=True):
        # One of nothing was taken while it started or after it had ended.
        if begin <= t <= end and held > 0:
            parts.setdefault(int((t - begin) / width) if width > 0 else 0, []).append((t, held))
    return [
        (part[0][0], stats.median([float(held) for _, held in part])) for part in parts.values()
    ]


def _steps_between(record: Record, begin: float, end: float) -> int:
    """Count the steps reported between two times; 0 where the count begins again."""
    known = [
        step
        for t, step in zip(record.seen_t, record.seen_step, strict=True)
        if begin <= t <= end and step >= 0
    ]
    return max(0, known[-1] - known[0]) if known else 0


def graph_growth(record: Record) -> Iterator[Finding]:
    # Step 0 is left out: from step 1 on, the update of the step before may wait in the graph too.
    points = [
        (step, nodes) for step, nodes in zip(record.node_step, record.nodes, strict=True) if step
    ]
    if len(points) < 3:
        return
    if any(d - b <= NODES_PER_STEP * (c - a) for (a, b), (c, d) in pairwise(points)):
        return
    (first_step, first), (last_step, last) = points[0], points[-1]
    if last - first <= NODES_TOTAL * first:
        return
    slope = (last - first) / (last_step - first_step)
    yield warning(
        "graph_growth",
        f"the pending graph grows by {plural(slope, 'operation')} per step: "
        f"{first} at step {first_step}, {last} at step {last_step}",
        nodes_per_step=slope,
        first_step=first_step,
        first=first,
        last_step=last_step,
        last=last,
        depth_last=record.depth[-1] if record.depth[-1] >= 0 else None,
    )
