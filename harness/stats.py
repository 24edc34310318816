"""The few statistics that are needed, over plain sequences of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


def quantile(values: Sequence[float], q: float) -> float:
    """The `q` quantile by linear interpolation between order statistics (Hyndman-Fan type 7)."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def spread(values: Sequence[float]) -> float:
    """1.4826 times the median absolute deviation: the standard deviation, were they normal."""
    middle = median(values)
    return 1.4826 * median([abs(value - middle) for value in values])


class Slope(NamedTuple):
    """A slope with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def slope(xs: Sequence[float], ys: Sequence[float], limit: int = 150) -> Slope:
    """The Theil-Sen slope of ys over xs, with Sen's interval (Sen 1968, JASA 63:1379).

    A median of the slopes of all pairs: a fifth of the points may be anything at all. Of longer
    series `limit` evenly spaced points are used. At least two points with different x.
    """
    xs, ys = thin(xs, limit), thin(ys, limit)
    n = len(xs)
    slopes = sorted(
        (ys[j] - ys[i]) / (xs[j] - xs[i])
        for i in range(n)
        for j in range(i + 1, n)
        if xs[j] != xs[i]
    )
    # Kendall's variance of the number of concordant pairs.
    half = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18) / 2
    middle = len(slopes) / 2
    low = max(0, math.floor(middle - half))
    high = min(len(slopes) - 1, math.ceil(middle + half))
    return Slope(median(slopes), slopes[low], slopes[high])


def thin(values: Sequence[float], limit: int) -> Sequence[float]:
    """At most `limit` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= limit:
        return values
    return [values[round(i * (len(values) - 1) / (limit - 1))] for i in range(limit)]
