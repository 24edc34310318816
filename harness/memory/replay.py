"""The evaluation of a traced step by MLX, replayed on shapes: which buffers are alive together.

MLX's order of evaluation, its rules for sharing and donating buffers and the lag of the device
behind the host decide a training step's peak, and all of them follow from shapes. They are
carried out here as in MLX 0.32 (`transforms.cpp`, `backend/common`, `backend/cpu`), without MLX
and without a byte allocated. Pure.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from harness.memory import layout
from harness.memory.layout import Layout, Rule

WIDTH = 20
"""MLX's `MLX_BFS_MAX_WIDTH`: how broadly the graph is walked before it is walked deeper."""
DONATION_SLACK = 16384
"""Bytes by which a donated buffer may be larger than what is put into it."""


class Lag(msgspec.Struct, frozen=True):
    """The distance by which the host may run ahead of the device: buffers are freed when the device
    is done."""

    dispatches: int = 10
    """Pieces of work to a task."""
    tasks: int = 10
    """Tasks under way before the host waits for one; `MAX_ACTIVE_TASKS`."""
    elements: int | None = None
    """A task ends too when its operations read more elements than this."""


CPU = Lag()
"""`DISPATCHES_PER_TASK` of the CPU backend; verified against measured peaks."""
METAL = Lag(dispatches=50, elements=50 << 20)
"""Largest command buffer of `backend/metal/device.cpp`; read there, not measured."""


_layout = attrgetter("layout")
_buffer = attrgetter("buffer")


class Buffer:
    """Memory, and how many hold it: arrays, and operations that the device has yet to do."""

    __slots__ = ("holders", "nbytes", "role")

    def __init__(self, nbytes: int, role: str) -> None:
        self.nbytes = nbytes
        self.role = role
        self.holders = 0


class Array:
    """An array of the lazy graph: pending while it has a `node`, then with a layout and a buffer.

    `references` counts what MLX's reference count would: Python's handles and the inputs of
    pending operations.
    """

    __slots__ = ("buffer", "itemsize", "layout", "node", "references", "role", "shape")

    def __init__(self, shape: tuple[int, ...], itemsize: int, role: str) -> None:
        self.shape = shape
        self.itemsize = itemsize
        self.role = role
        self.references = 0
        self.node: Node | None = None
        self.layout: Layout | None = None
        self.buffer: Buffer | None = None


class Seen:
    """The rule of an operation when a step last carried it out; the next steps repeat it."""

    __slots__ = ("rule", "where")

    def __init__(self) -> None:
        self.where: list[Layout | None] | None = None
        """The layouts of its inputs, for which the rule holds."""
        self.rule = Rule()


class Node:
    """A pending operation."""

    __slots__ = ("arguments", "degree", "inputs", "name", "outputs", "seen")

    def __init__(
        self,
        name: str,
        arguments: tuple[Any, ...],
        inputs: list[Array],
        outputs: list[Array],
        seen: Seen | None = None,
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.inputs = inputs
        self.outputs = outputs
        self.seen = seen or Seen()
        self.degree = 0
        """Consumers that a walk over the graph has yet to meet; 0 between walks."""
        count = len(outputs)
        for array in outputs:
            array.node = self
        for array in inputs:
            array.references += count


class Memory:
    """The allocated bytes, their peak, and the roles of the buffers at the peak."""

    def __init__(self, lag: Lag) -> None:
        self.live: Counter[str] = Counter()
        self.active = 0
        self.peak = 0
        self.at_peak: dict[str, int] = {}
        self._lag = lag
        self._task = self._dispatches = self._elements = 0
        self._held: deque[tuple[int, Sequence[Buffer]]] = deque()
        self._layouts: dict[Layout, Layout] = {}
        """One of each: their identity tells them apart."""
        self._rules: dict[tuple[object, ...], Rule] = {}
        """Known rules: the steps repeat the operations of the first one."""

    # -- buffers

    def _find(self, node: Node) -> Rule:
        """The rule of a pending operation whose inputs are evaluated."""
        outputs = node.outputs
        key = (
            node.name,
            id(node.arguments),  # those of the trace, which lives as long as its replay
            outputs[0].shape,
            len(outputs),
            *[id(array.layout) for array in node.inputs],
        )
        known = self._rules.get(key)
        if known is None:
            where = [array.layout for array in node.inputs if array.layout is not None]
            shapes = tuple(array.shape for array in outputs)
            known = layout.rule(node.name, node.arguments, where, shapes)
            views = tuple((index, self.one(shared)) for index, shared in known.views)
            chosen = None if known.chosen is None else self.one(known.chosen)
            known = msgspec.structs.replace(known, views=views, chosen=chosen)
            self._rules[key] = known
        return known

    def one(self, where: Layout) -> Layout:
        """The one object for a layout."""
        return self._layouts.setdefault(where, where)

    def place(self, array: Array, where: Layout, buffer: Buffer) -> None:
        """Give an array its layout and buffer."""
        array.layout, array.buffer = where, buffer
        buffer.holders += 1
        if array.role:
            self.live[buffer.role] -= buffer.nbytes
            buffer.role = array.role
            self.live[buffer.role] += buffer.nbytes
            if self.active == self.peak:
                self.at_peak = dict(self.live)

    def allocate(self, nbytes: int) -> Buffer:
        buffer = Buffer(nbytes, "")
        self.active += nbytes
        self.live[""] += nbytes
        if self.active > self.peak:
            self.peak = self.active
            self.at_peak = dict(self.live)
        return buffer

    def store(self, array: Array) -> Array:
        """Give an array that nothing computes (a parameter, a batch, a constant) its buffer."""
        where = self.one(layout.row_major(array.shape))
        self.place(array, where, self.allocate(where.data_size * array.itemsize))
        return array

    def drop(self, buffer: Buffer) -> None:
        buffer.holders -= 1
        if buffer.holders == 0:
            self.active -= buffer.nbytes
            self.live[buffer.role] -= buffer.nbytes

    def reset_peak(self) -> None:
        self.peak = self.active
        self.at_peak = dict(self.live)

    # -- references

    def release(self, arrays: Iterable[Array]) -> None:
        """Take one reference from each array; what nobody refers to any more is freed."""
        pending = list(arrays)
        while pending:
            array = pending.pop()
            array.references -= 1
            if array.references:
                continue
            if array.buffer is not None:
                self.drop(array.buffer)
                array.buffer = None
            node = array.node
            if node is not None and not any(out.references for out in node.outputs):
                pending += self._detach(node)

    def _detach(self, node: Node) -> list[Array]:
        for array in node.outputs:
            array.node = None
        return node.inputs * len(node.outputs)

    # -- the device

    def dispatch(self, pieces: int, elements: int, held: Sequence[Buffer]) -> None:
        """Queue an operation that holds buffers until the device, slower than the host, did it."""
        self._dispatches += pieces
        self._elements += elements
        if self._dispatches > self._lag.dispatches:
            self._next_task(self._dispatches - self._lag.dispatches)
        if held:
            for buffer in held:
                buffer.holders += 1
            self._held.append((self._task, held))
        full = self._lag.elements is not None and self._elements > self._lag.elements
        if full or self._dispatches == self._lag.dispatches:
            self._next_task(0)
        if self._held and self._held[0][0] < self._task - self._lag.tasks:
            self._finish(self._task - self._lag.tasks)

    def _next_task(self, dispatches: int) -> None:
        self._task += 1
        self._dispatches = dispatches
        self._elements = 0

    def _finish(self, task: int) -> None:
        """All tasks before this one are done."""
        while self._held and self._held[0][0] < task:
            for buffer in self._held.popleft()[1]:
                self.drop(buffer)

    # -- evaluation

    def evaluate(self, outputs: Sequence[Array]) -> None:
        """Evaluate like `mx.eval(outputs)`."""
        for array in outputs:
            array.references += 1
        for node in _tape(outputs):
            self._run(node)
        self._finish(self._task + 1)
        self.release(outputs)

    def _run(self, node: Node) -> None:
        """Carry out one operation. Most of a replay's time is spent here, so it calls little."""
        inputs, outputs, seen = node.inputs, node.outputs, node.seen
        here = list(map(_layout, inputs))
        if here != seen.where:
            seen.where, seen.rule = here, self._find(node)
        rule, out = seen.rule, outputs[0]
        if rule.chosen is None and len(outputs) == 1:
            index, shared = rule.views[0]
            buffer = inputs[index].buffer
            assert buffer is not None
            self.place(out, shared, buffer)
            held = set(map(_buffer, inputs)) if len(inputs) > 1 else None
        else:
            temporaries = _execute(self, node, rule)
            held = {*map(_buffer, inputs), *map(_buffer, outputs[1:]), *temporaries}
        if held is None:
            self.dispatch(rule.kernels + 1, rule.elements, ())
        else:
            held.discard(out.buffer)
            self.dispatch(rule.kernels + 1, rule.elements, [b for b in held if b is not None])
        count = len(outputs)
        for array in outputs:
            array.node = None
            if array.references == 0 and array.buffer is not None:
                self.drop(array.buffer)
                array.buffer = None
        for array in inputs:
            array.references -= count
            if array.references == 0 and array.buffer is not None:
                self.drop(array.buffer)
                array.buffer = None


def _tape(outputs: Sequence[Array]) -> list[Node]:
    """Pending operations behind `outputs` in the order in which MLX evaluates them.

    Breadth first from the outputs, limited in width, each once its last consumer was met; then
    in reverse (`eval_impl`).
    """
    visit = [outputs]
    while visit:
        for array in visit.pop():
            node = array.node
            if node is not None:
                if not node.degree:
                    visit.append(node.inputs)
                node.degree += 1
    tape: list[Node] = []
    # The first entry stands for MLX's synchronizer, whose inputs are the outputs.
    inputs: list[Sequence[Array]] = [outputs]
    deeper: list[tuple[Sequence[Array], int]] = []
    at = 0
    while at < len(inputs) or deeper:
        if at < len(inputs):
            arrays, first = inputs[at], 0
            at += 1
        else:
            arrays, first = deeper.pop()
        for index in range(first, len(arrays)):
            node = arrays[index].node
            if node is None:
                continue
            if len(inputs) - at >= WIDTH:
                deeper.append((arrays, index))
                break
            node.degree -= 1
            if node.degree == 0:
                tape.append(node)
                inputs.append(node.inputs)
    return tape[::-1]


def _execute(memory: Memory, node: Node, rule: Rule) -> list[Buffer]:
    """Place the outputs of an operation; returns its temporary buffers."""
    out, inputs = node.outputs[0], node.inputs
    if rule.chosen is None:
        for each, (index, shared) in zip(node.outputs, rule.views, strict=True):
            buffer = inputs[index].buffer
            assert buffer is not None
            memory.place(each, shared, buffer)
        return []
    chosen = rule.chosen
    temporaries = [
        memory.allocate(inputs[i].itemsize * layout.size(inputs[i].shape)) for i in rule.copied
    ]
    for buffer in temporaries:
        buffer.holders = 0
    donor = next((inputs[i] for i in rule.donors if _donatable(inputs[i], out)), None)
    if donor is not None and donor.buffer is not None:
        memory.place(out, chosen, donor.buffer)
    else:
        memory.place(out, chosen, memory.allocate(chosen.data_size * out.itemsize))
    for each in node.outputs[1:]:
        own = chosen if node.name == "Compiled" else memory.one(layout.row_major(each.shape))
        memory.place(each, own, memory.allocate(own.data_size * each.itemsize))
    return temporaries


def _donatable(array: Array, out: Array) -> bool:
    """Check whether nobody but this operation will need the array's buffer (`is_donatable`)."""
    buffer = array.buffer
    return (
        buffer is not None
        and array.references == 1
        and buffer.holders == 1
        and array.itemsize == out.itemsize
        and buffer.nbytes <= layout.size(out.shape) * out.itemsize + DONATION_SLACK
    )
