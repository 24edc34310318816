"""A few batches of a training, kept to be compared after its last step."""

from __future__ import annotations

import itertools
import weakref
from typing import Any, Callable, Optional

import mlx.core as mx
from mlx.utils import tree_flatten

from .digest import item

MOST = 8
BYTES = 16 << 20
"""The most that the batches which are kept may take."""
SHIFTS = 5
"""Tokens by which targets may lag behind the inputs."""
SHORTEST = 8
"""Tokens of a row below which equal ones may be chance."""


class KeptBatches:
    """Those of the steps 0, 1, 2, 4, 8, ... are kept, while they are small. The first look costs a
    microsecond. At the next batch, when the training has evaluated it, it is copied: a slice of a
    data set would keep all of it in memory. Nothing is compared until `facts` is asked for."""

    def __init__(self, lengths: bool = False) -> None:
        """`lengths`: a batch is (tokens, lengths) as mlx-lm makes it: the first and the last token
        of each row that counts."""
        self._lengths = lengths
        self._kept: list[list[Any]] = []
        self._fresh: Optional[list[Any]] = None
        """The arrays of the batch before, if it is kept."""
        self._first: Optional[list[Callable[[], Any]]] = None
        """Returns the arrays of the first batch, as long as the training has them."""
        self._one_object = True
        """All that are kept are the same arrays."""
        self._seen = 0
        self._bytes = 0

    def see(self, batch: Any) -> None:
        """`batch`, of the step that comes next, is a tree of arrays."""
        if self._fresh is not None:
            self._copy()
        at = self._seen
        self._seen = at + 1
        if at & (at - 1) or len(self._kept) == MOST:
            return
        try:
            arrays = [part for _, part in tree_flatten(batch) if hasattr(part, "nbytes")]
            self._bytes += sum(part.nbytes for part in arrays)
            if self._bytes <= BYTES:
                self._compare(arrays)
                # A loader may fill the same memory again.
                self._fresh = [a if isinstance(a, mx.array) else a.copy() for a in arrays]
        except Exception:
            self._bytes = BYTES + 1

    def _compare(self, arrays: list[Any]) -> None:
        if self._first is None:
            self._first = [weakref.ref(a) for a in arrays if isinstance(a, mx.array)]
            self._one_object = len(self._first) == len(arrays)
        first = [get() for get in self._first]
        pairs = itertools.zip_longest(first, arrays)
        self._one_object = self._one_object and all(one is other for one, other in pairs)

    def _copy(self) -> None:
        fresh, self._fresh = self._fresh or [], None
        try:
            copies = [_in_own_memory(a) if isinstance(a, mx.array) else a for a in fresh]
            mx.eval([copy for copy in copies if isinstance(copy, mx.array)])
            self._kept.append(copies)
        except Exception:  # it was made inside a transformation, or there is no room
            self._bytes = BYTES + 1

    def facts(self) -> dict[str, Any]:
        """The fields of a LearningBeat that tell of the batches."""
        if self._fresh is not None:
            self._copy()
        kept = [
            [a if isinstance(a, mx.array) else mx.array(a) for a in arrays] for arrays in self._kept
        ]
        fields: dict[str, Any] = {"batches": len(kept), "same": self._same(kept)}
        labels = [self._labels(arrays) for arrays in kept]
        known = [label for label in labels if label is not None]
        if known:
            shifts = {shift for _, _, shift in known}
            fields["labels"] = {
                "counted": sum(counted for counted, _, _ in known),
                "of": sum(of for _, of, _ in known),
                "shift": shifts.pop() if len(shifts) == 1 and len(known) == len(kept) else None,
            }
        return fields

    def _same(self, kept: list[list[mx.array]]) -> Optional[str]:
        if len(kept) < 2 or not kept[0]:
            return None
        pairs = [
            (first, other)
            for arrays in kept[1:]
            for first, other in itertools.zip_longest(kept[0], arrays)
        ]
        if self._one_object:
            return "object"
        if all(_one_value(first) for first in kept[0]):
            return None  # made up, to try something out
        return "content" if all(_equal(first, other) for first, other in pairs) else None

    def _labels(self, arrays: list[mx.array]) -> Optional[tuple[int, int, Optional[int]]]:
        """(labels that count, labels, shift) of a batch; None where it has none."""
        whole = [a for a in arrays if mx.issubdtype(a.dtype, mx.integer)]
        if self._lengths:
            return _by_lengths(*whole[:2])
        rows = [a for a in whole if a.ndim == 2]
        if len(whole) < 2 and not (whole and len(arrays) > 1):
            return None
        shift = _shift(rows[0], rows[1]) if len(rows) > 1 else None
        shares = [_unmasked(a, arrays, at) for at, a in enumerate(arrays) if at]
        counts = [share for share in shares if share is not None]
        if not counts:
            of = int(whole[-1].size)
            return of, of, shift
        counted, of = min(counts, key=lambda share: share[0] / share[1])
        return counted, of, shift


def _in_own_memory(array: mx.array) -> mx.array:
    """A copy of `array`, which may be a part of a larger one."""
    return mx.where(mx.array(True), array, array)  # what a program holds gives no memory away


def _equal(first: Any, other: Any) -> bool:
    """Compare two arrays; one that is missing is no other's equal."""
    if first is None or other is None:
        return False
    return first.shape == other.shape and bool(item(mx.array_equal(first, other)))


def _one_value(array: mx.array) -> bool:
    return bool(item(mx.all(array == mx.reshape(array, (-1,))[:1])))


def _by_lengths(tokens: mx.array, lengths: mx.array) -> tuple[int, int, None]:
    targets = tokens.shape[1] - 1
    counted = 0
    rows: Any = lengths.tolist()
    for first, last in rows:
        counted += max(0, min(last, targets) - max(first, 1) + 1)
    return counted, tokens.shape[0] * targets, None


def _unmasked(array: mx.array, arrays: list[mx.array], at: int) -> Optional[tuple[int, int]]:
    """Count what `array` lets count, where it is a mask or has labels that are ignored."""
    if not array.size:
        return None
    whole = mx.issubdtype(array.dtype, mx.integer)
    if whole and int(item(array.min())) < 0:
        return int(item((array >= 0).sum())), int(array.size)
    like = any(other.shape == array.shape and other.ndim >= 2 for other in arrays[:at])
    values = array.dtype == mx.bool_ or bool(mx.all((array == 0) | (array == 1)).item())
    if like and values and (at > 1 or array.dtype == mx.bool_):
        return int(item((array != 0).sum())), int(array.size)
    return None


def _shift(inputs: mx.array, targets: mx.array) -> Optional[int]:
    """The tokens by which `targets` lag behind `inputs`, so that a model has seen each of them."""
    if inputs.shape != targets.shape or inputs.shape[1] < SHORTEST:
        return None
    length = inputs.shape[1]
    if mx.array_equal(inputs[:, 1:], targets[:, :-1]) or _few(inputs):
        return None
    for shift in range(SHIFTS):
        if mx.array_equal(targets[:, shift:], inputs[:, : length - shift]):
            return shift
    return None


def _few(inputs: mx.array) -> bool:
    """Return True if the rows hold so few values that any shift could fit."""
    rows: Any = inputs.tolist()
    return all(len(set(row)) < 4 for row in rows)
