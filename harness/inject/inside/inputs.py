"""The shapes and sizes of the batches that a training gets.

A compiled step is traced, compiled and kept for each new shape of its arguments, and MLX keeps
freed memory by its size.
"""

from __future__ import annotations

from typing import Any, Iterator

_DEEPEST = 4
_MOST = 256
"""Arrays of a batch that are looked at."""
_PARTS = 1024
"""Parts of a batch that are looked at to find them."""
_PLAIN = 16
"""Numbers and texts in a row or a dict after which no array is expected in it."""
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
                return self._found(_arrays(batch))
            try:  # nearly all batches: arrays side by side
                return self._found(batch)
            except AttributeError:
                return self._found(_arrays(batch))
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


def _arrays(batch: Any) -> list[Any]:
    """The first arrays in `batch`, of MLX or NumPy, in the order in which they stand."""
    found: list[Any] = []
    for part, _ in zip(_parts(batch, _DEEPEST), range(_PARTS)):
        if hasattr(part, "nbytes") and hasattr(part, "dtype"):
            found.append(part)
            if len(found) == _MOST:
                break
    return found


def _parts(value: Any, deepest: int) -> Iterator[Any]:
    """All that is in `value`, and it itself."""
    yield value
    if not deepest or not isinstance(value, (dict, list, tuple)):
        return
    plain = 0
    for one in value.values() if isinstance(value, dict) else value:
        plain += isinstance(one, (int, float, str, bytes))
        if plain > _PLAIN:
            return
        yield from _parts(one, deepest - 1)
