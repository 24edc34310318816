"""The shapes and sizes of the batches that a training gets.

A compiled step is traced, compiled and kept for each new shape of its arguments, and MLX keeps
freed memory by its size.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Iterator

_DEEPEST = 4
_MOST = 256
"""Arrays of a batch that are looked at."""
_SHAPES = 100_000
"""Shapes that are told apart."""


class Inputs:
    """The batches of one training."""

    def __init__(self) -> None:
        self._seen: set[tuple[Any, ...]] = set()
        self._off = False

    def look(self, batch: Any) -> tuple[int, int]:
        """Different shapes so far, this batch's included, and the bytes of this batch.

        Both are 0 where it has no arrays. Never raises: `batch` is the program's own object.
        """
        if self._off:
            return 0, 0
        try:
            found = list(islice(_arrays(batch, _DEEPEST), _MOST))
            if not found:
                return 0, 0
            shape = tuple((*array.shape, str(array.dtype)) for array in found)
            if len(self._seen) < _SHAPES:
                self._seen.add(shape)
            return len(self._seen), sum(int(array.nbytes) for array in found)
        except Exception:
            self._off = True
            return 0, 0


def _arrays(value: Any, deepest: int) -> Iterator[Any]:
    """The arrays in `value`, of MLX or NumPy, in the order in which they stand."""
    if hasattr(value, "nbytes") and hasattr(value, "dtype"):
        yield value
    elif deepest and isinstance(value, dict):
        for one in value.values():
            yield from _arrays(one, deepest - 1)
    elif deepest and isinstance(value, (list, tuple)):
        for one in value:
            yield from _arrays(one, deepest - 1)
