"""The course of a noisy series: whether it falls, how it was rounded, what its level means."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from harness import stats
from harness.beats.record import Record

CHANCE = 0.05
"""Half the share of all levels that would pass for the loss of some number of classes."""
_FINEST = 8
"""Decimals up to which a print is told from a figure in full."""


def falls(values: array[float]) -> stats.Slope | None:
    """None if `values` fall; else their slope, which does not show it."""
    third = len(values) // 3
    last = values[-third:]
    # What falls at once and rests from then on has fallen all the same.
    if any(_lower(values[:head], last) for head in (1, 5, len(values) // 20, third)):
        return None
    slope = stats.theil_sen([(float(at), value) for at, value in stats.blocks(values)])
    return None if slope.high < 0 else slope


def rises(values: array[float]) -> bool:
    """Return True if `values` rise."""
    return falls(array("d", [-value for value in values])) is None


def _lower(before: array[float], after: array[float]) -> bool:
    """Return True if the median of `after` is lower by more than two standard errors.

    The noise is that within `after`: the spread of losses that fall has the fall in it.
    """
    if not before:
        return False
    return stats.median(before) - stats.median(after) > 2 * error_of_median(after, len(before))


def error_of_median(values: Sequence[float], other: int = 0) -> float:
    """The standard error of the median of `values`, or of its difference to one of `other`."""
    parts = 1 / len(values) + (1 / other if other else 0)
    return 1.2533 * stats.spread(values) * math.sqrt(parts)


def still_grows(points: Sequence[tuple[float, float]], least: float) -> stats.Slope | None:
    """The slope of `points` that grow by more than `least` in all; None if not, or if at rest."""
    if len(points) < 4:
        return None
    slope = stats.theil_sen(points)
    if slope.low * (points[-1][0] - points[0][0]) <= least:
        return None
    last = stats.theil_sen(points[-max(3, len(points) // 3) :])
    return None if last.value < slope.value / 3 else slope


def printed(record: Record) -> bool:
    """Return True if the losses were read from text, so that they may be rounded."""
    told = record.model is not None and not record.model.printed
    return not told and record.end is None and record.built is None


def resolution(record: Record, values: Sequence[float]) -> float:
    """The step between two values that a print of so many decimals can tell apart; 0: in full."""
    return unit(values) if printed(record) else 0.0


def unit(values: Sequence[float]) -> float:
    """The step between two values that their decimals can tell apart; 0 if they have too many."""
    some = [value for value in stats.sample(values) if math.isfinite(value)]
    for decimals in range(_FINEST + 1):
        if all(abs(round(value, decimals) - value) <= 1e-12 * abs(value) for value in some):
            return 10.0**-decimals
    return 0.0


def classes(level: float, tolerance: float) -> int | None:
    """The number of classes whose uniform guess has this loss; None where it is not certain."""
    if not 0.6 < level < 15:
        return None
    number = round(math.exp(level))
    # The losses of so many classes and one more lie 1 / number apart: another level must rarely
    # be taken for one of them.
    certain = number >= 2 and tolerance * number < CHANCE
    return number if certain and abs(level - math.log(number)) <= tolerance else None
