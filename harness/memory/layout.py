"""The layout of an array in its buffer, and of the results of MLX's operations. Pure.

The rules are those of MLX 0.32's `backend/common` and `backend/cpu`: which operations are views,
which write into an input's buffer when nobody else needs it, and which copy an input first.
"""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec

Shape = tuple[int, ...]

DEPENDS = "Depends"
"""Hands its first inputs on once the others are evaluated."""
CUSTOM = ("CustomTransforms", "CustomVJP")
"""They hand on their last inputs: what a function returned, behind its arguments."""

_SAME = {"Copy", "StopGradient"}
_RESHAPES = {"Reshape", "Flatten", "Unflatten"}
_MOVING_COPIES = {"AsType", "Scatter", "ScatterAxis", "SliceUpdate", "Full", "MaskedScatter"}
"""They begin with a copy of their first input, which may as well be the input itself."""
UNARY = {
    "Abs", "Cos", "Erf", "ErfInv", "Exp", "Expm1", "Floor", "Log", "Log1p", "LogicalNot",
    "Negative", "Round", "Sigmoid", "Sign", "Sin", "Softmax", "Sqrt", "Square", "Tanh",
    "RMSNorm", "LayerNorm",
}  # fmt: skip
BINARY = {
    "Add", "Divide", "Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogAddExp",
    "LogicalAnd", "LogicalOr", "Maximum", "Minimum", "Multiply", "NotEqual", "Power",
    "Remainder", "Subtract", "BitwiseBinary", "ArcTan2",
}  # fmt: skip
_MATMULS = {"Matmul", "AddMM", "GatherMM", "SegmentedMM"}
_QUANTIZED = {"QuantizedMatmul", "GatherQMM"}


class Layout(msgspec.Struct, frozen=True):
    """Strides in elements, and MLX's flags. `data_size` counts the buffer's elements in use."""

    shape: Shape
    strides: Shape
    data_size: int
    row: bool
    column: bool
    contiguous: bool


class Rule(msgspec.Struct, frozen=True):
    """The treatment of an operation's inputs and outputs."""

    views: tuple[tuple[int, Layout], ...] = ()
    """For each output the input whose buffer it shares whatever happens, and its layout there."""
    chosen: Layout | None = None
    """The layout of the first output in a buffer of its own; None for a view."""
    donors: tuple[int, ...] = ()
    """Inputs whose buffer would do as well."""
    copied: tuple[int, ...] = ()
    """Inputs that are copied into a temporary buffer first."""
    kernels: int = 0
    """Pieces of work for the device."""
    elements: int = 0
    """Elements of the inputs' buffers."""


def rule(
    name: str, arguments: tuple[Any, ...], where: list[Layout], shapes: tuple[Shape, ...]
) -> Rule:
    """The rule of an operation with inputs that lie like `where` and outputs of these shapes."""
    elements = sum(layout.data_size for layout in where)
    if name == DEPENDS:
        return Rule(tuple(enumerate(where[: len(shapes)])), elements=elements)
    if name in CUSTOM:
        # What the function returned comes after its arguments.
        first = len(where) - len(shapes)
        views = tuple((first + i, where[first + i]) for i in range(len(shapes)))
        return Rule(views, elements=elements)
    shared = view(name, arguments, where[0], shapes[0]) if where else None
    if shared is not None:
        return Rule(((0, shared),) * len(shapes), elements=elements)
    chosen, donors = result(name, where, shapes[0])
    copies = tuple(copied(name, where))
    work = kernels(name, len(where)) + len(copies)
    return Rule((), chosen, donors, copies, work, elements)


def size(shape: Shape) -> int:
    return prod(shape)


def row_major(shape: Shape) -> Layout:
    """Row-major, as a fresh array lies."""
    strides = []
    step = 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    vector = step <= 1 or step == max(shape, default=1)
    return Layout(shape, tuple(reversed(strides)), step, True, vector, True)


def view(name: str, arguments: tuple[Any, ...], first: Layout, shape: Shape) -> Layout | None:
    """The output's layout if it shares the first input's buffer whatever happens, else None."""
    if name in _SAME:
        return msgspec.structs.replace(first, shape=shape)
    if name in ("Broadcast", "BroadcastAxes"):
        return _broadcast(first, shape)
    if name == "Transpose":
        return _transpose(first, arguments[0])
    if name == "Slice":
        return _slice(first, arguments[2], shape)
    if name == "ExpandDims":
        strides = list(first.strides)
        for axis in arguments[0]:
            strides.insert(axis, 1)
        return msgspec.structs.replace(first, shape=shape, strides=tuple(strides))
    if name == "Squeeze":
        strides_left = [s for axis, s in enumerate(first.strides) if axis not in arguments[0]]
        return msgspec.structs.replace(first, shape=shape, strides=tuple(strides_left))
    if name in _RESHAPES:
        return _reshape(first, shape)
    if name == "Split":
        return msgspec.structs.replace(first, shape=shape, row=False, column=False)
    return None


def result(name: str, where: list[Layout], shape: Shape) -> tuple[Layout, tuple[int, ...]]:
    """The output's layout in a buffer of its own, and the inputs whose buffer would do as well."""
    if name in UNARY and where[0].contiguous:
        return msgspec.structs.replace(where[0], shape=shape), (0,)
    if name in BINARY:
        return _binary(where[0], where[1], shape)
    if name == "Compiled":
        return _compiled(where, shape)
    if name == "Select":
        return _select(where, shape)
    if name in _MOVING_COPIES and where and where[0].data_size > 1:
        whole = where[0].contiguous if name == "AsType" else where[0].row
        if whole:
            return msgspec.structs.replace(where[0], shape=shape), (0,)
    if name == "AddMM" and where[2].row and where[2].data_size > 1:
        return msgspec.structs.replace(where[2], shape=shape), (2,)
    return row_major(shape), ()


def copied(name: str, where: list[Layout]) -> list[int]:
    """The inputs that the operation copies into a temporary buffer first."""
    if name in _MATMULS:
        return [i for i in (0, 1) if not _is_matrix(where[i])]
    if name in _QUANTIZED:
        return [i for i, layout in enumerate(where) if not layout.row]
    if name == "LogSumExp":
        return [
            i for i, layout in enumerate(where) if not layout.contiguous or layout.strides[-1] != 1
        ]
    return []


def kernels(name: str, inputs: int) -> int:
    """The number of pieces of work an operation hands to the device."""
    if name == "Concatenate":
        return inputs
    return 2 if name in ("Scatter", "ScatterAxis", "SliceUpdate", "AddMM") else 1


def _is_matrix(layout: Layout) -> bool:
    rows, columns = layout.strides[-2:]
    return (rows == layout.shape[-1] and columns == 1) or (
        rows == 1 and columns == layout.shape[-2]
    )


def _broadcast(first: Layout, shape: Shape) -> Layout:
    extra = len(shape) - len(first.shape)
    strides = tuple(
        0 if extent == 1 else s for extent, s in zip(first.shape, first.strides, strict=True)
    )
    grown = prod(shape) > prod(first.shape)
    return msgspec.structs.replace(
        first,
        shape=shape,
        strides=(0,) * extra + strides,
        row=first.row and not grown,
        column=first.column and not grown,
    )


def _transpose(first: Layout, axes: Shape) -> Layout:
    shape = tuple(first.shape[axis] for axis in axes)
    strides = tuple(first.strides[axis] for axis in axes)
    row, column = first.row, first.column
    if first.contiguous and first.data_size == prod(shape):
        row, column, _ = _contiguity(shape, strides)
    return msgspec.structs.replace(first, shape=shape, strides=strides, row=row, column=column)


def _slice(first: Layout, steps: Shape, shape: Shape) -> Layout:
    strides = tuple(s * step for s, step in zip(first.strides, steps, strict=True))
    reach = 1 + sum(abs(s) * (n - 1) for s, n in zip(strides, shape, strict=True))
    row, column, distinct = _contiguity(shape, strides)
    return Layout(shape, strides, reach, row, column, distinct == reach)


def _reshape(first: Layout, shape: Shape) -> Layout | None:
    """None when the elements have to be copied (`prepare_reshape`)."""
    if first.row or prod(shape) == 0:
        target = row_major(shape)
        return msgspec.structs.replace(target, data_size=first.data_size)
    extents, steps = _collapse(first)
    strides: list[int] = []
    j = 0
    for n in shape:
        if j < len(extents) and extents[j] % n == 0:
            extents[j] //= n
            strides.append(extents[j] * steps[j])
            j += extents[j] == 1
        elif n == 1 and strides:
            strides.append(strides[-1])
        else:
            return None
    return msgspec.structs.replace(first, shape=shape, strides=tuple(strides))


def _collapse(layout: Layout) -> tuple[list[int], list[int]]:
    """Neighboring axes that lie as one, merged; axes of extent 1 left out."""
    extents: list[int] = []
    steps: list[int] = []
    for n, step in zip(layout.shape, layout.strides, strict=True):
        if n == 1:
            continue
        if steps and steps[-1] == n * step:
            extents[-1] *= n
            steps[-1] = step
        else:
            extents.append(n)
            steps.append(step)
    return (extents, steps) if extents else ([1], [0])


def _contiguity(shape: Shape, strides: Shape) -> tuple[bool, bool, int]:
    """Row and column contiguity, and the elements that are not repeats."""
    row = column = True
    forward = backward = distinct = 1
    for i, n in enumerate(shape):
        column &= strides[i] == forward or n == 1
        forward *= n
        last = len(shape) - 1 - i
        row &= strides[last] == backward or shape[last] == 1
        backward *= shape[last]
        distinct *= n if strides[i] else 1
    return row, column, distinct


def _binary(a: Layout, b: Layout, shape: Shape) -> tuple[Layout, tuple[int, ...]]:
    if a.data_size == 1 and b.data_size == 1:
        return msgspec.structs.replace(a, shape=shape), ()
    if a.data_size == 1 and b.contiguous:
        return msgspec.structs.replace(b, shape=shape), (1,)
    if b.data_size == 1 and a.contiguous:
        return msgspec.structs.replace(a, shape=shape), (0,)
    if (a.row and b.row) or (a.column and b.column):
        return msgspec.structs.replace(a, shape=shape), (0, 1)
    return row_major(shape), tuple(i for i, layout in enumerate((a, b)) if layout.row)


def _select(where: list[Layout], shape: Shape) -> tuple[Layout, tuple[int, ...]]:
    if all(layout.data_size == 1 for layout in where):
        return msgspec.structs.replace(where[1], shape=shape), ()
    if all(layout.row for layout in where) or all(layout.column for layout in where):
        return msgspec.structs.replace(where[1], shape=shape), (0, 1, 2)
    return row_major(shape), tuple(i for i, layout in enumerate(where) if layout.row)


def _compiled(where: list[Layout], shape: Shape) -> tuple[Layout, tuple[int, ...]]:
    """Fused operations (`compiled_allocate_outputs`)."""
    wide = [i for i, layout in enumerate(where) if prod(layout.shape) > 1]
    alike = all(where[i].shape == shape for i in wide)
    rows = alike and all(where[i].row for i in wide)
    columns = alike and all(where[i].column for i in wide)
    alone = alike and len(wide) == 1 and where[wide[0]].contiguous
    if wide and (rows or columns or alone):
        return where[wide[0]], tuple(wide)
    return row_major(shape), tuple(i for i in wide if where[i].row)
