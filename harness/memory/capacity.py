"""The largest batch, or the longest sequence, whose peak fits into memory. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

import msgspec


class Bounded(str, Enum):
    """The end of the search."""

    MEMORY = "memory"
    MODEL = "model"
    """The model's config names no more positions."""
    MLX = "mlx"
    """MLX cannot hold the next size in one array."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The largest size that fits. It was traced."""

    largest: int
    """Sequences, or tokens; 0 when not even the smallest fits."""
    peak: int | None
    """Bytes at `largest`; None where that is 0."""
    next: int
    """The next size that was tried."""
    next_peak: int | None
    """Bytes at `next`; None where that is beyond the model or MLX."""
    expected: bool = False
    """`next_peak` is the fit through the traced sizes, not a trace."""
    bounded: Bounded
    traces: int
    """Traces that the search took."""


Peak = Callable[[int], int | None]
"""The peak of a training of this size, in bytes; None where MLX cannot hold it in one array."""

_GUESSES = 8
"""Sizes that are chosen by the fit. After these the interval is halved, whatever the law does."""
_FARTHEST = 1 << 40
"""No size is beyond it."""


def largest(
    peak: Peak,
    known: Mapping[int, int],
    fixed: int,
    memory: int,
    unit: int = 1,
    most: int | None = None,
) -> Capacity:
    """Find the largest multiple of `unit` whose peak is at most `memory`, by few calls of `peak`.

    `known` has the peak of one size or more. `fixed` is about what a step holds without
    activations. The activations of a transformer grow with the batch, and with the length and its
    square. So a polynomial through the nearest points names the next size to try. The search ends
    when a size fits by `peak` itself, and the next one does not, by `peak` or by the polynomial.
    """
    sizes = _Sizes(peak, known, memory)
    low = _units(sizes, known, fixed, unit, most)
    own, after = low * unit, (low + 1) * unit
    outside = most is not None and after > most
    if low:
        sizes.fits(own)
    elif not outside:
        sizes.fits(after)
    beyond = after in sizes.beyond
    expected = None
    if not outside and after not in sizes.points and not beyond:
        expected = round(_fit(sizes.points, fixed, memory)(after))
    return Capacity(
        largest=own,
        peak=sizes.points.get(own) if low else None,
        next=after,
        next_peak=sizes.points.get(after, expected),
        expected=expected is not None,
        bounded=Bounded.MODEL if outside else Bounded.MLX if beyond else Bounded.MEMORY,
        traces=sizes.asked,
    )


class _Sizes:
    """The sizes of which the peak is known, each traced once."""

    def __init__(self, peak: Peak, known: Mapping[int, int], memory: int) -> None:
        self.memory = memory
        self.points = dict(known)
        """Bytes by size."""
        self.beyond: set[int] = set()
        """Sizes that MLX cannot hold."""
        self.asked = 0
        self._peak = peak

    def fits(self, size: int) -> bool:
        if size not in self.points and size not in self.beyond:
            self.asked += 1
            found = self._peak(size)
            if found is None:
                self.beyond.add(size)
            else:
                self.points[size] = found
        return size in self.points and self.points[size] <= self.memory


def _units(sizes: _Sizes, known: Mapping[int, int], fixed: int, unit: int, most: int | None) -> int:
    """The largest number of units that fits, by the peaks or, in the end, by the polynomial."""
    memory = sizes.memory
    low = max((n // unit for n, value in known.items() if value <= memory), default=0)
    high = min((-(-n // unit) for n, value in known.items() if value > memory), default=None)
    if most is not None:
        low = min(low, most // unit)
        if high is None or high > most // unit:
            high = most // unit + 1
    while high is None or high - low > 1:
        fit = _fit(sizes.points, fixed, memory) if sizes.asked < _GUESSES else None
        guess = None if fit is None else _most(fit, memory, unit)
        if guess == low and low * unit in sizes.points:
            break  # it fits, and by the fit no larger one does
        if guess is None:
            guess = low + max(1, low) if high is None else (low + high) // 2
        guess = max(guess, low + 1)
        if high is not None:
            guess = min(guess, high - 1)
        if sizes.fits(guess * unit):
            low = guess
        else:
            high = guess
    return low


def _fit(points: Mapping[int, int], fixed: int, memory: int) -> Callable[[float], float]:
    """The polynomial through the nearest points, in Lagrange's form: bytes by size."""
    every = {0: min(fixed, *points.values()), **points}
    near = sorted(every.items(), key=lambda point: abs(point[1] - memory))[:3]

    def fit(n: float) -> float:
        total = 0.0
        for i, (x, y) in enumerate(near):
            term = float(y)
            for j, (other, _) in enumerate(near):
                if i != j:
                    term *= (n - other) / (x - other)
            total += term
        return total

    return fit


def _most(fit: Callable[[float], float], memory: int, unit: int) -> int | None:
    """The largest number of units that fits by the polynomial; None where there is none."""
    low, high = 0, 1
    while fit(high * unit) <= memory:
        if high > _FARTHEST:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if fit(middle * unit) <= memory:
            low = middle
        else:
            high = middle
    return low
