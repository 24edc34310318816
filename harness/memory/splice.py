"""Put operations back into a trace that were cut out because MLX cannot export them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from harness.memory.trace import Op, Trace


class Cuts(msgspec.Struct, frozen=True, kw_only=True):
    """The places of the cuts; all integers index the trace's arrays."""

    name: str
    """The name of the operation that was cut out."""
    operands: tuple[tuple[int, ...], ...]
    """The inputs of each, which the trace computes."""
    results: tuple[int, ...]
    """The result of each, which the trace was given."""
    added: tuple[int, ...]
    """Inputs that were added to an array, to have its gradient. The trace gets none of them."""


def splice(trace: Trace, cuts: Cuts) -> Trace:
    """The trace with the operations that were cut out, and without what the cuts added.

    Operations that nothing needs are left out, and all are in an order in which they can be
    carried out.
    """
    added = set(cuts.added)
    same: dict[int, int] = {}
    ops: list[Op] = []
    for op in trace.ops:
        own = [i for i in op.inputs if i not in added]
        if len(own) == len(op.inputs):
            ops.append(op)
        else:
            same[op.outputs[0]] = own[0]
    ops += [
        Op(cuts.name, operands, (result,))
        for operands, result in zip(cuts.operands, cuts.results, strict=True)
    ]

    def one(index: int) -> int:
        while index in same:
            index = same[index]
        return index

    def mapped(indices: Iterable[int]) -> tuple[int, ...]:
        return tuple(one(index) for index in indices)

    whole = msgspec.structs.replace(
        trace,
        loss=one(trace.loss),
        gradients=mapped(trace.gradients),
        updated=mapped(trace.updated),
        next_state=mapped(trace.next_state),
    )
    outputs = (whole.loss, *whole.gradients, *whole.updated, *whole.next_state)
    named = [msgspec.structs.replace(op, inputs=mapped(op.inputs)) for op in ops]
    return msgspec.structs.replace(whole, ops=_needed(named, outputs))


def _needed(ops: Sequence[Op], outputs: Sequence[int]) -> tuple[Op, ...]:
    """The operations behind `outputs`, each behind those that it needs."""
    made_by = {index: op for op in ops for index in op.outputs}
    done: set[int] = set()
    ordered: list[Op] = []
    pending = list(reversed(outputs))
    while pending:
        index = pending[-1]
        op = made_by.get(index)
        if op is None or index in done:
            pending.pop()
            continue
        wanted = [i for i in op.inputs if i in made_by and i not in done]
        if wanted:
            pending += reversed(wanted)
        else:
            pending.pop()
            done.update(op.outputs)
            ordered.append(op)
    return tuple(ordered)
