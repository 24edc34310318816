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
            if type(batch) is not tuple or len(batch) > _MOST:
                return self._found(list(islice(_arrays(batch, _DEEPEST), _MOST)))
            try:  # nearly all batches: arrays side by side
                return self._found(batch)
            except AttributeError:
                return self._found(list(islice(_arrays(batch, _DEEPEST), _MOST)))
        except Exception:
            self._off = True
            return 0, 0

    def _found(self, arrays: Any) -> tuple[int, int]:
        # The types themselves: their names take longer than all the rest.
        shape: list[Any] = []
        size = 0
        for array in arrays:
            shape += (array.shape, array.dtype)
            size += array.nbytes
        if shape and len(self._seen) < _SHAPES:
            self._seen.add(tuple(shape))
        return (len(self._seen), size) if shape else (0, 0)


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
