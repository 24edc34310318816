"""Findings about what grows with the inputs: their shapes, caches, and the peak of a step.

docs/reference/verdicts/memory.md gives the thresholds and the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness import stats
from harness.analysis.findings.trend import still_grows
from harness.beats.record import Record
from harness.model import Finding
from harness.model.finding import info, warning
from harness.text.units import count, duration, percent, plural, size

SHAPES = 8
"""Different shapes below which nothing is said: some lengths belong to any text."""
COMING, ALL_COMING = 0.5, 0.8
"""The share of late steps that meet a new shape: where that costs something, and where not."""
TRACED = 0.8
"""The share of them in which something was traced, so that it is the shapes that are compiled."""
SLOWER = 2.0
"""Usual steps that one with a new shape takes which costs time."""
COSTS = 0.2
"""The share of the time that all of them cost together."""
CACHE = 1.0
"""In units of P, and the next in bytes: growth of a cache below which it does not matter."""
CACHE_BYTES = 64 << 20
PEAK = 0.2
"""The same of a step's peak, in units of P."""
PEAK_BYTES = 1 << 20
"""The same in bytes."""
LARGER = 1.5
"""The factor by which batches have grown that are said to grow."""
NEAR = 0.9
"""The share of the usable memory from which on a peak is told."""
FAR_AWAY = 1_000_000_000
"""Steps; memory that ends later than this does not end."""
FIRST = 2
"""Steps left out: what is there for good arrives in steps 0 and 1."""


def shapes_growth(record: Record) -> Iterator[Finding]:
    """Each shape is compiled and kept: the traces follow the shapes."""
    shapes, traces = record.shapes, record.traces
    steps = len(shapes)
    half = max(FIRST, steps // 2)
    if steps < half + 3 or shapes[-1] < SHAPES:
        return
    if record.end is not None and record.end.compile_works is False:
        return
    new = [at for at in range(half, steps) if shapes[at] > shapes[at - 1]]
    traced = sum(traces[at] > traces[at - 1] for at in new)
    share = len(new) / (steps - half)
    if share < COMING or traced < TRACED * len(new):
        return
    held = _process(record)
    grown = still_grows(held, CACHE_BYTES)
    slower = _slower(record, new)
    if grown is None and slower is None and share < ALL_COMING:
        return
    ends = ends_at(record, held[-1][1], grown.value) if grown else None
    costly = grown is not None or slower is not None
    text = f"{plural(shapes[-1], 'input shape')} in {plural(steps, 'step')}, each compiled and kept"
    if slower is not None:
        text += f": a step with a new shape takes {duration(slower)} more"
    if grown is not None:
        text += f", and the process grows by {size(grown.value)} per step"
    yield (warning if costly else info)(
        "shapes_growth",
        f"{text}{rate(ends)}. Pad to a few lengths, or leave the step uncompiled",
        shapes=shapes[-1],
        steps=steps,
        traces=traces[-1],
        new_share=share,
        seconds_more=slower,
        bytes_per_step=round(grown.value) if grown else None,
        ends_at_step=ends,
    )


def cache_growth(record: Record) -> Iterator[Finding]:
    """The memory that MLX keeps for reuse grows and is not used: buffers of ever new sizes."""
    points = _column(record.cache)
    slope = still_grows(points, max(CACHE * _unit(record), CACHE_BYTES))
    if slope is None:
        return
    first, last = round(points[0][1]), record.cache[-1]
    ends = ends_at(record, max(record.active[-1], 0) + last, slope.value)
    shapes = record.shapes[-1]
    varied = f", with {plural(shapes, 'input shape')} so far" if shapes > 1 else ""
    yield warning(
        "cache_growth",
        f"the memory that MLX keeps for reuse grows by {size(slope.value)} per step, to "
        f"{size(last)}{varied}{rate(ends)}. mx.set_cache_limit bounds it",
        bytes_per_step=round(slope.value),
        first_bytes=first,
        last_bytes=last,
        shapes=shapes or None,
        ends_at_step=ends,
    )


def peak_growth(record: Record) -> Iterator[Finding]:
    """A step needs more and more, of which nothing is left behind; the batches do not grow."""
    if record.built is None or growth(record) > 0:
        return  # others than our own worker give the highest peak so far
    above = [
        peak - active if peak >= 0 <= active else -1
        for peak, active in zip(record.peak, record.active, strict=True)
    ]
    slope = still_grows(_column(above), max(PEAK * _unit(record), PEAK_BYTES))
    if slope is None:
        return
    ends = ends_at(record, record.peak[-1], slope.value)
    yield warning(
        "peak_growth",
        f"the peak inside a step grows by {size(slope.value)} per step, to "
        f"{size(record.peak[-1])}, and the batches do not grow{rate(ends)}",
        bytes_per_step=round(slope.value),
        last_bytes=record.peak[-1],
        ends_at_step=ends,
    )


def inputs_growth(record: Record) -> Iterator[Finding]:
    """Say that the batches grow, which explains what grows with them."""
    if not growth(record):
        return
    first, last = _ends(record)
    yield info(
        "inputs_growth",
        f"the batches grow from {size(first)} to {size(last)}: memory and step times that grow "
        "with them are no leak",
        first_bytes=round(first),
        last_bytes=round(last),
        steps=len(record.inputs),
    )


def peak_too_large(record: Record) -> Iterator[Finding]:
    peak, usable = max(record.peak, default=-1), record.usable
    if not usable or peak < NEAR * usable:
        return
    more = peak >= usable
    yield (warning if more else info)(
        "peak_too_large",
        f"MLX's memory peaks at {size(peak)}, {percent(peak / usable)} of the {size(usable)} that "
        "may be used: "
        + (
            "the rest is swapped, or the process is killed"
            if more
            else "a larger batch will not fit"
        ),
        peak=peak,
        usable=usable,
    )


# --- what others ask ------------------------------------------------------------------------------


def growth(record: Record) -> float:
    """Bytes by which the batches have grown from the first third to the last; 0: they do not."""
    known = _column(record.inputs)
    if len(known) < 6:
        return 0.0
    first, last = _ends(record)
    if last < LARGER * first or stats.theil_sen(known).low <= 0:
        return 0.0
    return last - first


def ends_at(record: Record, held: float, per_step: float) -> int | None:
    """The step at which memory ends, if so many bytes are held and more come with each step.

    None where the usable memory is not known, or that is too far away to matter.
    """
    if record.usable is None or per_step <= 0 or held >= record.usable or not record.step:
        return None
    left = (record.usable - held) / per_step
    return round(record.step[-1] + left) if left < FAR_AWAY else None


def rate(ends: int | None) -> str:
    """The end of a sentence about growth; two digits, because no more is known."""
    if ends is None:
        return ""
    digits = max(0, len(str(ends)) - 2)
    return f"; at this rate memory ends at about step {count(round(ends, -digits))}"


def _ends(record: Record) -> tuple[float, float]:
    known = [float(held) for held in record.inputs if held >= 0]
    third = max(1, len(known) // 3)
    return stats.median(known[:third]), stats.median(known[-third:])


def _unit(record: Record) -> float:
    return float(record.model.trainable_bytes) if record.model is not None else 0.0


def _column(sizes: Sequence[int]) -> list[tuple[float, float]]:
    """(index, bytes) of a column after the warm-up, in blocks."""
    warm_up = max(FIRST, len(sizes) // 10)
    return [
        (float(warm_up + at), float(held))
        for at, held in stats.blocks(sizes[warm_up:])
        if held >= 0
    ]


def _process(record: Record) -> list[tuple[float, float]]:
    """(step, bytes) of all that the process held, from its second tenth of the steps on."""
    last = {
        step: held
        for step, held in zip(record.seen_step, record.rss, strict=True)
        if FIRST <= step <= record.step[-1] and held > 0
    }
    points = [(float(step), float(held)) for step, held in sorted(last.items())]
    points = points[len(points) // 10 :]
    return points[:: max(1, len(points) // stats.BLOCKS)]


def _slower(record: Record, new: Sequence[int]) -> float | None:
    """Seconds that a step with a new shape takes more than others; None if they do not matter."""
    seconds, fresh = record.seconds, set(new)
    others = [seconds[at] for at in range(new[0], len(seconds)) if at not in fresh]
    if len(others) < 3:
        return None
    usual, taken = stats.median(others), stats.median([seconds[at] for at in new])
    more = taken - usual
    if taken < SLOWER * usual or more * len(new) < COSTS * sum(seconds[new[0] :]):
        return None
    return more
