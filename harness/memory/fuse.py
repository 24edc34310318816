"""The result of `mx.compile` for a traced step: elementwise operations become one. Pure.

The rules are those of `compile_fuse` in MLX 0.32. A fused operation has no temporary results, but
hands the device more work at a time, so that a compiled step may well peak higher.
"""

from __future__ import annotations

import msgspec

from harness.memory.layout import BINARY, UNARY
from harness.memory.trace import Op, Trace

DEPTH = 11
ARRAYS = 24
"""Operations in a row, and inputs, at which MLX stops fusing."""
_NOT_FUSED = {"Softmax", "RMSNorm", "LayerNorm", "Remainder"}
_FUSED = ((UNARY | BINARY) - _NOT_FUSED) | {"AsType", "Select", "Broadcast"}


def fuse(trace: Trace) -> Trace:
    """The step as a compiled function: its gradients are no outputs."""
    return _Fuser(trace).run()


class _Fuser:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.arrays = list(trace.arrays)
        self.ops = {op.outputs[0]: op for op in trace.ops}
        self.outputs = {trace.loss, *trace.updated, *trace.next_state}
        self.parents: dict[int, list[int]] = {}
        """The outputs that are computed from each array, by that array."""
        for op in trace.ops:
            for array in op.inputs:
                self.parents.setdefault(array, []).extend(op.outputs)

    def run(self) -> Trace:
        done: set[int] = set()
        made: list[Op] = []
        for last in [op.outputs[0] for op in reversed(self.trace.ops)]:
            if last in done:
                continue
            op = self.ops[last]
            region = _Region(self, last) if op.name != "Broadcast" else None
            if region is None or len(region.fused) <= 1:
                made.append(op)
                continue
            fused, inner = region.op()
            done |= inner
            made.append(fused)
            self._rewire(fused, inner)
        return msgspec.structs.replace(
            self.trace, ops=tuple(reversed(made)), arrays=tuple(self.arrays), gradients=()
        )

    def _rewire(self, fused: Op, inner: set[int]) -> None:
        for array in inner:
            self.parents[array] = [p for p in self.parents.get(array, ()) if p not in inner]
        for array in fused.inputs:
            others = [p for p in self.parents.get(array, ()) if p not in inner]
            self.parents[array] = [*others, *fused.outputs]

    def split(self, array: int, region: set[int]) -> int:
        """A second broadcast for those of its users that are in the region."""
        own = len(self.arrays)
        self.arrays.append(self.arrays[array])
        op = self.ops[array]
        self.ops[own] = msgspec.structs.replace(op, outputs=(own,))
        for source in op.inputs:
            self.parents[source].append(own)
        users = self.parents[array]
        self.parents[array] = [p for p in users if p not in region]
        self.parents[own] = [p for p in users if p in region]
        for user in set(self.parents[own]):
            inputs = tuple(own if i == array else i for i in self.ops[user].inputs)
            self.ops[user] = msgspec.structs.replace(self.ops[user], inputs=inputs)
        return own


class _Region:
    """The operations that are fused with the one that makes `last`."""

    def __init__(self, fuser: _Fuser, last: int) -> None:
        self.fuser = fuser
        self.last = last
        self.shape = fuser.arrays[last][0]
        self.fused: set[int] = set()
        self._inputs: set[int] = set()
        self._grow(last, 0)

    def _grow(self, array: int, depth: int) -> None:
        fuser = self.fuser
        if array in self.fused:
            return
        op = fuser.ops.get(array)
        elsewhere = array in fuser.outputs and fuser.arrays[array][0] != self.shape
        if depth >= DEPTH or op is None or op.name not in _FUSED or elsewhere:
            self._inputs.add(array)
            return
        if depth and not all(parent in self.fused for parent in fuser.parents[array]):
            if op.name == "Broadcast" and len(self._inputs) < ARRAYS:
                self._grow(fuser.split(array, self.fused), depth)
            else:
                self._inputs.add(array)
            return
        if array in fuser.outputs:
            self._inputs.add(array)
        else:
            self._inputs.discard(array)
        if len(self._inputs) >= ARRAYS:
            return
        self.fused.add(array)
        for source in fuser.ops[array].inputs:
            self._grow(source, depth + 1)

    def op(self) -> tuple[Op, set[int]]:
        """The fused operation, and the arrays that it makes or has no need to make."""
        inputs: dict[int, None] = {}
        order: dict[int, None] = {}

        def visit(array: int) -> None:
            if array not in self.fused:
                inputs[array] = None
            elif array not in order:
                for source in self.fuser.ops[array].inputs:
                    visit(source)
                order[array] = None

        visit(self.last)
        outputs = [a for a in order if a in self.fuser.outputs and a != self.last]
        return Op("Compiled", tuple(inputs), (*outputs, self.last)), set(order)
