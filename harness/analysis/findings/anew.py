"""Losses of several trainings in one run, and of one whose data or objective changes.

A loss that jumps up and then falls again is no worse: it is another training of a sweep, or harder
data. See docs/reference/verdicts/loss.md for the rule and the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness import stats
from harness.beats.record import Record

ALIKE = 1.2
"""The factor by which a jump may be higher than one after which the loss fell again: of a further
one alike the fall need not be seen, as where the run ends soon after it."""
POINTS = 1000
"""Points that are looked at of a longer series."""
NOISES = 6.0
"""Usual changes from point to point by which a jump has to exceed them."""
JUMP = 0.15
"""The share of the range of all losses that a jump has at least."""
SAME = 0.1
"""The share of what the first training learned, within which another one begins where it did."""
BACK = 1 / 3
"""The share of the jump that is learned again, wherever it begins."""
WEIGHTS = frozenset(
    ("anneal", "beta", "coef", "coeff", "difficulty", "lambda", "stage", "weight", "weights")
)
"""Words of the name of a figure that says what the loss is made of."""
OF_PARAMETERS = frozenset(("decay", "norm", "norms", "grad", "std", "rms"))
"""Words of the name of a figure whose weights are the parameters, which change in each step."""
LEARNED = 0.1
"""The share of the jump that was learned before it."""


def beginnings(losses: Sequence[float]) -> list[int]:
    """The indices, rising, at which the loss jumps up, and from which on it falls again.

    The losses must be finite. A jump that the loss stays at, or a slow rise, is none.
    """
    points = stats.blocks(losses, POINTS)
    values = [value for _, value in points]
    width = max(3, min(10, len(values) // 40))
    if len(values) < 4 * width:
        return []
    found: list[int] = []
    first = max(values[:width])
    began, alike = 0, 0.0
    jumps = _jumps(values, width)
    for n, at in enumerate(jumps):
        end = jumps[n + 1] if n + 1 < len(jumps) else len(values)
        jump = max(values[at : at + width]) - stats.median(values[at - width : at])
        if jump <= ALIKE * alike or _is_anew(values, began, at, end, first, width):
            found.append(at)
            began, alike = at, max(alike, jump)
    return [points[at][0] for at in found]


def weighed_anew(record: Record, since: int) -> bool:
    """Return True if a log gives a weight of a part of the loss, and it changes after a step."""
    for name, series in record.figures.items():
        words = name.split("_")
        if WEIGHTS.isdisjoint(words) or not OF_PARAMETERS.isdisjoint(words):
            continue
        before = [value for at, value in zip(series.step, series.value, strict=True) if at <= since]
        if before and abs(series.value[-1] - before[-1]) > 0.01 * abs(before[-1]):
            return True
    return False


def _jumps(values: Sequence[float], width: int) -> list[int]:
    """The places where the level rises within `width` points, each where it rises most."""
    middles = [stats.median(values[at : at + width]) for at in range(len(values) - width + 1)]
    rises = {at: middles[at] - middles[at - width] for at in range(width, len(middles))}
    least = max(NOISES * _usual(values), JUMP * (max(middles) - min(middles)))
    places: list[int] = []
    for at, rise in sorted(rises.items(), key=lambda item: -item[1]):
        if rise <= least:
            break
        if all(abs(at - other) >= 2 * width for other in places):
            places.append(at)
    return sorted(places)


def _is_anew(
    values: Sequence[float], began: int, at: int, end: int, first: float, width: int
) -> bool:
    """Return True if the values fall up to `at` and, from a level above that, fall before `end`."""
    before = stats.median(values[at - width : at])
    top = max(values[at : at + width])
    after = min(stats.median(values[n : n + width]) for n in range(at, max(at, end - width) + 1))
    jump = top - before
    least = 4 * max(map(_usual, (values, values[began:at], values[at:end])))
    learned, again = max(values[began : began + width]) - before, top - after
    if learned <= max(least, LEARNED * jump) or again <= max(least, LEARNED * jump):
        return False
    return again >= BACK * jump or abs(top - first) <= SAME * (first - min(values[:at]))


def _usual(values: Sequence[float]) -> float:
    return stats.median([abs(b - a) for a, b in pairwise(values)])
