"""Undo what exporting a step merges. Pure.

`mx.export_function` gives every operation with its shapes, but merges equal ones, which an
uncompiled step evaluates one by one. `mx.export_to_dot` gives the graph as it will be evaluated,
but without shapes. Both are walked from the outputs side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.memory.layout import CUSTOM, DEPENDS
from harness.memory.trace import Op, Trace

NO_OPS = ("Copy", "StopGradient")
"""Left out by the export altogether."""
PASSING = (DEPENDS, *CUSTOM)
"""The parts that a checkpointed graph has beside the operations that it repeats."""


class Graph:
    """The operations of a DOT graph by the arrays they make."""

    def __init__(self, dot: str) -> None:
        self.label: dict[str, str] = {}
        self.made_by: dict[str, str] = {}
        self.inputs: dict[str, list[str]] = {}
        self.outputs: dict[str, list[str]] = {}
        self.last = ""
        """The operation that depends on all others."""
        self.copies: dict[str, str] = {}
        """The input of each operation that does nothing, by the array it makes."""
        for line in dot.splitlines():
            if "[label" in line:
                number = line.split()[1]
                self.label[number] = line.split('"')[1]
                self.last = number
                continue
            source, arrow, target = line.partition(" -> ")
            if not arrow:
                continue
            if source.startswith('"'):
                self.inputs.setdefault(target, []).append(source.strip('"'))
            else:
                name = target.strip('"')
                self.made_by[name] = source
                self.outputs.setdefault(source, []).append(name)
                if self.label[source] in NO_OPS:
                    self.copies[name] = self.inputs[source][0]

    def passed(self, number: str) -> list[tuple[str, str]]:
        """Each output of an operation that hands inputs on, with its input."""
        inputs, outputs = self.inputs[number], self.outputs[number]
        first = 0 if self.label[number] == DEPENDS else len(inputs) - len(outputs)
        return list(zip(outputs, inputs[first:], strict=False))


def unmerge(trace: Trace, dot: str) -> Trace:
    """The traced step with the operations of the graph `dot`.

    The graph's last operation takes the outputs of the step first, in the order of the trace's:
    loss, gradients, updated parameters, next state. Where the two differ by more than merging
    (a function that was compiled by itself), the trace's operations are kept.

    The graph may be that of the same step with gradient checkpoints: it repeats operations of the
    trace, behind operations that hand arrays on.
    """
    graph = Graph(dot)
    outputs = (trace.loss, *trace.gradients, *trace.updated, *trace.next_state)
    names = graph.inputs[graph.last][: len(outputs)]
    produced = {i for op in trace.ops for i in op.outputs}
    pairs = zip(names, outputs, strict=True)
    return _Walk(trace, graph).run([(name, index) for name, index in pairs if index in produced])


class _Walk:
    def __init__(self, trace: Trace, graph: Graph) -> None:
        self.trace = trace
        self.graph = graph
        self.made_by = {i: op for op in trace.ops for i in op.outputs}
        self.at = {op.outputs[0]: at for at, op in enumerate(trace.ops)}
        """The place of an operation in the trace, by its first output."""
        self.arrays = list(trace.arrays)
        self.known: dict[str, int] = {}
        """Arrays of the graph, as arrays of the trace that is made."""
        self.ops: list[Op] = []
        self.kept: set[int] = set()
        self.handed = False
        """The graph has operations that hand arrays on."""
        self.index: dict[str, int] = {}
        """Arrays of the graph, as those of `trace` that they repeat; empty where nothing is handed
        on."""

    def run(self, outputs: Sequence[tuple[str, int]]) -> Trace:
        labels = (label for n, label in self.graph.label.items() if n != self.graph.last)
        self.handed = any(label in PASSING for label in labels)
        if self.handed:
            self._find(outputs)
        pending = list(outputs)
        while pending:
            name, index = pending[-1]
            if name in self.known:
                pending.pop()
                continue
            wanted = [node for node in self._inputs(name, index) if node[0] not in self.known]
            if wanted:
                pending += wanted
            else:
                pending.pop()
                self._make(name, index)
        final = {index: self.known[name] for name, index in outputs}

        def mapped(indices: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(final.get(index, index) for index in indices)

        return msgspec.structs.replace(
            self.trace,
            arrays=tuple(self.arrays),
            ops=tuple(self.ops),
            loss=final.get(self.trace.loss, self.trace.loss),
            gradients=mapped(self.trace.gradients),
            updated=mapped(self.trace.updated),
            next_state=mapped(self.trace.next_state),
        )

    def _find(self, outputs: Sequence[tuple[str, int]]) -> None:
        """Fill `index`, which says what the arrays are that an operation merely waits for."""
        found: dict[str, int] = {}
        pending = list(outputs)
        while pending:
            name, index = pending.pop()
            if name not in found:
                found[name] = index
                pending += self._inputs(name, index)
        self.index = found

    def _passing(self, name: str, index: int) -> str | None:
        """The operation that makes `name` of the graph, where it hands inputs on and the trace's
        operation does not."""
        if not self.handed:
            return None
        number = self.graph.made_by.get(name)
        if number is None or self.graph.label[number] not in PASSING:
            return None
        op = self.made_by.get(index)
        return None if op is not None and op.name in PASSING else number

    def _alike(self, name: str, index: int) -> Op | None:
        """The trace's operation that the one making `name` is, if it is any."""
        op, number = self.made_by.get(index), self.graph.made_by.get(name)
        # The labels are of no use: the export calls a Sum a Reduce, and an Rsqrt a Sqrt.
        if op is None or number is None or self.graph.label[number].startswith("Compiled"):
            return None
        same = (len(self.graph.inputs.get(number, ())), len(self.graph.outputs[number])) == (
            len(op.inputs),
            len(op.outputs),
        )
        return op if same else None

    def _inputs(self, name: str, index: int) -> list[tuple[str, int]]:
        passing = self._passing(name, index)
        if passing is not None:
            source = dict(self.graph.passed(passing)).get(name)
            own = [] if source is None else [(source, index)]
            others = [each for each in self.graph.inputs[passing] if each != source]
            return own + [(each, self.index[each]) for each in others if each in self.index]
        copied = self.graph.copies.get(name)
        if copied is not None:
            return [(copied, index)]
        op = self._alike(name, index)
        if op is None:
            return []
        sources = self.graph.inputs.get(self.graph.made_by[name], ())
        return list(zip(sources, op.inputs, strict=True))

    def _make(self, name: str, index: int) -> None:
        copied = self.graph.copies.get(name)
        if copied is not None:
            self.known[name] = self._add("Copy", (), (self.known[copied],), [index])[0]
            return
        passing = self._passing(name, index)
        if passing is not None:
            self._pass(passing)
            return
        op = self._alike(name, index)
        if op is None:
            self._keep([index])
            self.known[name] = index
            return
        number = self.graph.made_by[name]
        inputs = tuple(self.known[source] for source in self.graph.inputs.get(number, ()))
        made = self._add(op.name, op.arguments, inputs, op.outputs)
        self.known.update(zip(self.graph.outputs[number], made, strict=True))

    def _pass(self, number: str) -> None:
        """Add an operation of the graph that hands inputs on."""
        label = self.graph.label[number]
        passed = [pair for pair in self.graph.passed(number) if pair[1] in self.known]
        sources = [source for _, source in passed]
        others = [
            name for name in self.graph.inputs[number] if name in self.known and name not in sources
        ]
        ordered = sources + others if label == DEPENDS else others + sources
        inputs = tuple(self.known[name] for name in ordered)
        made = self._add(label, (), inputs, [self.index[name] for name in sources])
        self.known.update(zip((name for name, _ in passed), made, strict=True))

    def _add(
        self, name: str, arguments: tuple[object, ...], inputs: tuple[int, ...], like: Sequence[int]
    ) -> tuple[int, ...]:
        first = len(self.arrays)
        self.arrays += [self.trace.arrays[index] for index in like]
        outputs = tuple(range(first, len(self.arrays)))
        self.ops.append(Op(name, inputs, outputs, arguments))
        return outputs

    def _keep(self, indices: list[int]) -> None:
        """Take the trace's operations behind these arrays as they are."""
        needed: set[int] = set()
        pending = [i for i in indices if i in self.made_by]
        while pending:
            op = self.made_by[pending.pop()]
            if op.outputs[0] not in self.kept and op.outputs[0] not in needed:
                needed.add(op.outputs[0])
                pending += [i for i in op.inputs if i in self.made_by]
        # In the order of the trace. Most arrays are leaves, which need nothing.
        self.ops += [self.trace.ops[at] for at in sorted(self.at[first] for first in needed)]
        self.kept |= needed
