"""The merging of equal operations, as compiling a step does it. Pure."""

from __future__ import annotations

import msgspec

from harness.memory.trace import Op, Trace
from harness.memory.unmerge import PASSING

_KEPT = (*PASSING, "RandomBits")
"""MLX takes no two of these for equal (`is_equivalent`)."""


def merge(trace: Trace) -> Trace:
    """The step with each operation once that has the same inputs as another (`compile_simplify`).

    The operations of `trace` are in an order in which they can be carried out.
    """
    same: dict[int, int] = {}
    """The array that is taken instead of another."""
    known: dict[object, Op] = {}
    ops: list[Op] = []
    for op in trace.ops:
        inputs = tuple(same.get(i, i) for i in op.inputs)
        shapes = tuple(trace.arrays[i] for i in op.outputs)
        key = (op.name, inputs, shapes, repr(op.arguments))
        twin = None if op.name in _KEPT else known.get(key)
        if twin is not None:
            same.update(zip(op.outputs, twin.outputs, strict=True))
            continue
        known[key] = msgspec.structs.replace(op, inputs=inputs)
        ops.append(known[key])

    def mapped(indices: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(same.get(i, i) for i in indices)

    return msgspec.structs.replace(
        trace,
        ops=tuple(ops),
        loss=same.get(trace.loss, trace.loss),
        gradients=mapped(trace.gradients),
        updated=mapped(trace.updated),
        next_state=mapped(trace.next_state),
    )
