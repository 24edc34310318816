"""Digests that show whether tensors changed, without a copy of them: two checksums each, computed
on the device.

Both are sums modulo 2**32 over the bit patterns, one of them weighted by position, so any single
changed element shows, and so does nearly every swap. A tensor is read in slices of 16 MiB: an 8B
model is read once at the memory's speed and needs no memory to speak of.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

SAMPLE = 1024
"""Elements of a tensor that are compared one by one."""
_SLICE = 1 << 22
_UNSIGNED = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint32}

Digest = tuple[int, int]


def sample(array: mx.array) -> mx.array:
    """Up to SAMPLE elements of `array`, evenly spread, in memory of their own."""
    count = min(array.size, SAMPLE)
    places = mx.arange(count) * max(1, array.size // max(count, 1))
    return mx.take(mx.reshape(array, (-1,)), places)


def item(array: Any) -> Any:
    """The value of an array of one element, evaluated."""
    return array.item()


def digest(array: mx.array) -> Digest:
    """The two checksums of an evaluated array of any dtype and shape."""
    if array.dtype == mx.bool_:
        array = array.astype(mx.uint8)
    if array.dtype == mx.complex64:
        array = mx.view(array, mx.float32)
    flat = mx.view(mx.reshape(array, (-1,)), _UNSIGNED[array.itemsize])
    total = weighted = 0
    for start in range(0, flat.size, _SLICE):
        part = flat[start : start + _SLICE].astype(mx.uint32)
        weights = mx.arange(part.size, dtype=mx.uint32) * 2 + (2 * start + 1) % (1 << 32)
        sums = mx.stack([mx.sum(part), mx.sum(part * weights.astype(mx.uint32))])
        unweighted, weighed = (int(item(checksum)) for checksum in sums)
        total, weighted = (total + unweighted) % (1 << 32), (weighted + weighed) % (1 << 32)
    return total, weighted


def is_finite(array: mx.array) -> bool:
    """Check whether an evaluated array holds neither NaN nor infinity; true for integers."""
    if not mx.issubdtype(array.dtype, mx.inexact):
        return True
    flat = mx.reshape(array, (-1,))
    return all(
        bool(mx.all(mx.isfinite(flat[start : start + _SLICE])).item())
        for start in range(0, flat.size, _SLICE)
    )
