"""A step with a mixture of experts, in a form that `mx.export_function` takes.

The gradient of a sorted `mx.gather_mm` by its weights is a `SegmentedMM`, which MLX cannot export.
So it is cut out: what goes into it becomes outputs of the exported function, and what comes out of
it an input. `harness.memory.splice` puts the operation back. MLX keeps the gradient of the
product to itself. So an input is added to the result, whose gradient is the same.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx

CUT = "SegmentedMM"


class Calls:
    """The sorted products of a step, in the order of its forward pass."""

    def __init__(self) -> None:
        self.products: list[mx.array] = []
        self.weights: list[mx.array] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note each of them while the forward pass is built."""
        plain = mx.gather_mm

        def gather_mm(a: mx.array, b: mx.array, *rest: Any, **how: Any) -> mx.array:
            made: mx.array = plain(a, b, *rest, **how)
            if how.get("sorted_indices"):
                self.products.append(made)
                self.weights.append(b)
            return made

        with _instead(gather_mm):
            yield

    def added(self) -> list[mx.array]:
        """An input for each product, to be added to it."""
        return [mx.zeros(each.shape, each.dtype) for each in self.products]

    def gradients(self) -> list[mx.array]:
        """An input for the result of each `SegmentedMM`."""
        return [
            mx.zeros((_count(b), b.shape[-1], b.shape[-2]), product.dtype)
            for product, b in zip(self.products, self.weights, strict=True)
        ]


class Cut:
    """The products of one step that is exported, each with an input added to it."""

    def __init__(self) -> None:
        self._inputs: list[mx.array] = []
        self._indices: list[mx.array] = []
        self.weights: list[mx.array] = []

    @contextlib.contextmanager
    def taken(self, added: Sequence[mx.array]) -> Iterator[None]:
        """Keep MLX from a gradient by the weights while the forward pass is built."""
        plain, sums = mx.gather_mm, iter(added)

        def gather_mm(a: mx.array, b: mx.array, *rest: Any, **how: Any) -> mx.array:
            if not how.get("sorted_indices"):
                return plain(a, b, *rest, **how)
            indices = rest[1] if len(rest) > 1 else how.get("rhs_indices")
            assert indices is not None
            self._inputs.append(a)
            self._indices.append(indices)
            self.weights.append(b)
            return plain(a, mx.stop_gradient(b), *rest, **how) + next(sums)

        with _instead(gather_mm):
            yield

    def operands(self, cotangents: Sequence[mx.array]) -> list[mx.array]:
        """The three inputs of each `SegmentedMM`, by `gather_mm_grad` of MLX's primitives.cpp."""
        return [
            operand
            for a, indices, b, dy in zip(
                self._inputs, self._indices, self.weights, cotangents, strict=True
            )
            for operand in (
                mx.swapaxes(mx.flatten(dy, 0, -2), 0, 1),
                mx.flatten(a, 0, -2),
                _segments(indices, a.shape[-2], _count(b)),
            )
        ]


def by_weights(gradient: mx.array, b: mx.array) -> mx.array:
    """The gradient by the weights of a product, from the result of its `SegmentedMM`."""
    return mx.swapaxes(mx.reshape(gradient, (*b.shape[:-2], b.shape[-1], b.shape[-2])), -1, -2)


def _segments(indices: mx.array, rows: int, experts: int) -> mx.array:
    """The first row and the one behind the last of each expert."""
    counts = mx.zeros((experts,), mx.uint32).at[indices].add(mx.array(rows, mx.uint32))
    ends = mx.concatenate([mx.array([0], mx.uint32), mx.cumsum(counts)])
    return mx.as_strided(ends, (experts, 2), (1, 1))


def _count(b: mx.array) -> int:
    return math.prod(b.shape[:-2])


@contextlib.contextmanager
def _instead(gather_mm: Any) -> Iterator[None]:
    plain = mx.gather_mm
    mx.gather_mm = gather_mm
    try:
        yield
    finally:
        mx.gather_mm = plain
