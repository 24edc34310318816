"""One training step as MLX would evaluate it, by its shapes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec


class Op(msgspec.Struct, frozen=True, array_like=True):
    """One operation of a traced step; inputs and outputs are indices into the trace's arrays."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arguments: tuple[Any, ...] = ()


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One training step as MLX would evaluate it. The tuples of integers index `arrays`."""

    arrays: tuple[tuple[tuple[int, ...], int], ...]
    """Shape and bytes per element."""
    ops: tuple[Op, ...]
    trainable: tuple[int, ...]
    frozen: tuple[int, ...]
    state: tuple[int, ...]
    """The optimizer's, before the step."""
    batch: tuple[int, ...]
    loss: int
    gradients: tuple[int, ...]
    """One for each of `trainable`, as are `updated`."""
    updated: tuple[int, ...]
    next_state: tuple[int, ...]

    def nbytes(self, indices: Iterable[int]) -> int:
        total = 0
        for index in indices:
            shape, itemsize = self.arrays[index]
            for extent in shape:
                itemsize *= extent
            total += itemsize
        return total


class Shapes(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it would be trained, with one of its steps traced and nothing evaluated."""

    parameters: int
    """Number of scalars."""
    parameter_bytes: int
    trainable: int
    trainable_bytes: int
    """P, the unit of the law."""
    dtype: str
    blocks: int | None
    width: int | None
    vocabulary: int | None
    backend: str
    """`cpu`, `metal` or `cuda`."""
    memory: int | None = None
    """Bytes that a GPU may use, as MLX tells."""
    positions: int | None = None
    """The most tokens in a sequence that the model's config names."""
    allocated: int
    """Highest MLX memory while the model was built and traced."""
    trace: Trace
    """Every operation that an uncompiled step evaluates."""
    merged: Trace
    """The same with equal operations merged: what a compiled step is fused from."""
