"""A tape of one training step: its operations in order, and which of their results are not finite.

A small step keeps its results until it is over, and they are looked at only if it came to a bad
end. A large one cannot keep them: they are looked at in groups, so that a look costs one evaluation
for many operations. What a result was computed from is known by the identity of the arrays. An
infinity that a program writes down itself, as masks do, is no fault; it is one where it reaches a
bad result.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from _thread import get_ident
from typing import Any, Callable, Iterator, Optional

from . import facts
from .backward import BACKWARD, GRADIENT, Gradient
from .operations import Switch
from .stack import Line, Stack

GROUP = 128
"""Operations that are looked at together in a large step."""
LARGE = 64 << 20
"""Bytes of the results of one step above which it is large."""
DESCRIBED = 200
"""Results that are described in one step at most, beside those of masks with infinities."""
MOVES = frozenset(
    (
        "T", "__neg__", "abs", "broadcast_to", "concatenate", "contiguous", "expand_dims",
        "flatten", "flip", GRADIENT, "mT", "matrix_transpose", "moveaxis", "negative",
        "permute_dims", "repeat", "reshape", "split", "squeeze", "stack", "stop_gradient",
        "swapaxes", "tile", "transpose", "unflatten",
    )
)  # fmt: skip
"""Operations whose results are finite where their inputs are: only then they are looked at. An
index out of range reads what happens to lie there, so that what takes by an index is not among
them."""
FINITE, INFINITE, NAN = 0, 1, 2


class Node:
    """One operation, or an array that came from outside of the step."""

    __slots__ = (
        "args", "consumers", "cotangents", "depth", "facts", "function", "inputs", "kwargs",
        "label", "line", "literal", "name", "number", "outputs", "own", "passes", "state",
    )  # fmt: skip

    def __init__(self, number: int, name: str, inputs: list[Node], outputs: list[Any]) -> None:
        self.number = number
        self.name = name
        """Empty for what came from outside."""
        self.inputs = inputs
        self.outputs = outputs
        """Held until they have been looked at; inside a gradient until that is settled."""
        self.state = FINITE
        self.label = ""
        """The name of a parameter, of an array of the batch, or of a gradient."""
        self.literal = False
        """A result is not finite, and an argument is an infinity or NaN that the program wrote."""
        self.facts: dict[str, Any] = {}
        self.depth = self.passes = 0
        """Gradient functions around it, and backward passes before it."""
        self.function: Optional[Callable[..., Any]] = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.line: Optional[Line] = None
        self.consumers: list[Node] = []
        self.cotangents: dict[int, Any] = {}
        self.own: list[Node] = []
        """The results of the program's own gradient function, if it has one."""

    def release(self) -> None:
        """Let go of its arrays."""
        self.outputs, self.args, self.kwargs = [], (), {}
        self.line, self.cotangents = None, {}


class Tape:
    """Records the operations of one step while the switch leads here: those of the thread that
    trains, which makes it."""

    def __init__(self, switch: Switch, mx: Any) -> None:
        self.switch = switch
        self.mx = mx
        self._array = mx.array
        self._thread = get_ident()
        self._stack = Stack()
        self.floats = {mx.float16, mx.bfloat16, mx.float32, mx.float64, mx.complex64}
        self.narrow = {mx.float16, mx.bfloat16}
        self.batch: Any = ()
        self.gradients: list[Gradient] = []
        """Those whose function runs, the innermost last."""
        self.running: list[Gradient] = []
        """Those whose backward pass may run."""
        self._unsettled: list[Gradient] = []
        """Those that are over, and whose gradients have not been looked at."""
        self.passes = 0
        self.held: list[Node] = []
        """Nodes of the open gradients."""
        self.last: list[Node] = []
        """Values and gradients of the backward passes so far."""
        self._values: dict[int, tuple[Any, Node]] = {}
        self._pending: list[Node] = []
        self.bytes = 0
        """The size of all results and cotangents so far."""
        self._count = 0
        self._described = 0

    # -- arrays and what they were computed by

    def arrays(self, tree: Any) -> list[Any]:
        """The arrays in nested lists, tuples and dictionaries."""
        if isinstance(tree, self._array):
            return [tree]
        if isinstance(tree, dict):
            tree = tree.values()
        elif not isinstance(tree, (list, tuple)):
            return []
        found: list[Any] = []
        for item in tree:
            if isinstance(item, self._array):
                found.append(item)
            elif isinstance(item, (list, tuple, dict)):
                found += self.arrays(item)
        return found

    def value(self, array: Any) -> Node:
        """The node that computed `array`; a new one when it came from outside."""
        entry = self._values.get(id(array))
        if entry is not None:
            return entry[1]
        node = self._new("", [], [array])
        self.assign(array, node)
        return node

    def assign(self, array: Any, node: Node) -> None:
        """Note that `node` computed `array`."""
        key, values = id(array), self._values
        values[key] = (weakref.ref(array, lambda _: values.pop(key, None)), node)

    def link(self, known: Any, other: Any) -> None:
        """Note that the arrays of `other` stand for those of `known`, one by one."""
        ours, theirs = self.arrays(known), self.arrays(other)
        if len(ours) != len(theirs):
            return
        for mine, its in zip(ours, theirs):
            if mine is not its:
                self.assign(its, self.value(mine))

    def name(self, label: str, tree: Any) -> None:
        """Give each array of `tree` a name, unless it has one; `label` may hold `{}` for a number.

        To be called before the step uses them.
        """
        for index, array in enumerate(self.arrays(tree)):
            node = self.value(array)
            node.label = node.label or label.format(index)

    # -- operations

    def call(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run one operation and record it."""
        result = function(*args, **kwargs)
        outputs = self.arrays(result)
        if not outputs or get_ident() != self._thread:
            return result
        node = self._record(name, function, args, kwargs, outputs)
        for output in outputs:
            self.assign(output, node)
            self.bytes += output.nbytes
        if self.gradients:
            result = self.gradients[-1].tapped(node, result)
        if len(self._pending) >= GROUP:
            self._look_if_large()
        return result

    def change(self, name: str, method: Callable[..., Any], array: Any, args: Any) -> Any:
        """Run a method that gives `array` another value, and record it."""
        if get_ident() != self._thread:
            return method(array, *args)
        before = self.value(array)
        old = array.__copy__()
        for node in (before, *before.consumers):
            # What has been recorded of it is of the value that it had.
            node.outputs = [old if one is array else one for one in node.outputs]
            node.args = tuple(old if one is array else one for one in node.args)
        self.assign(old, before)
        result = method(array, *args)
        node = self._record(name, method, (old, *args), {}, [array])
        self.assign(array, node)
        self.bytes += array.nbytes
        if self.gradients:
            self.gradients[-1].tapped_in_place(node, array)
            self.assign(array, node)
        self._look_if_large()
        return result

    def gradient(self) -> Gradient:
        """The context of one gradient function's call."""
        return Gradient(self)

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """A part of a differentiated function is computed once more, for the backward pass."""
        before = list(self.gradients)
        self.gradients += self.running[-1:]
        try:
            yield
        finally:
            self.gradients[:] = before

    def _new(self, name: str, inputs: list[Node], outputs: list[Any]) -> Node:
        self._count += 1
        node = Node(self._count, name, inputs, outputs)
        node.depth = len(self.gradients)
        self._pending.append(node)
        if self.gradients:
            self.held.append(node)
        return node

    def _record(
        self, name: str, function: Callable[..., Any], args: Any, kwargs: Any, outputs: list[Any]
    ) -> Node:
        inputs = [self.value(array) for array in self.arrays(args)]
        if kwargs:
            inputs += [self.value(array) for array in self.arrays(kwargs)]
        node = self._new(name, inputs, outputs)
        node.function, node.args, node.kwargs = function, tuple(args), kwargs
        node.passes = self.passes
        node.line = self._stack.line(3)
        for one in inputs:
            one.consumers.append(node)
        return node

    # -- looks

    def _look_if_large(self) -> None:
        if len(self._pending) >= GROUP and self.bytes >= LARGE:
            self.look()

    def fine(self, arrays: list[Any], gradients: bool) -> bool:
        """Check at one look that `arrays` and the values of all backward passes are finite, and,
        if asked for, the gradients. A sum that overflows is not called fine."""
        ends = [node for node in self.last if gradients or node.name != BACKWARD]
        every = [*arrays, *(output for node in ends for output in node.outputs)]
        if any(node.state for node in ends):
            return False
        return self._all_finite([array for array in every if array.dtype in self.floats])

    def over(self, gradient: Gradient) -> None:
        """A backward pass is over. What it held is kept for later unless that is too much."""
        self._unsettled.append(gradient)
        if self.bytes >= LARGE:
            self.settle()

    def settle(self) -> None:
        """Look at all results, and find where the gradients that are bad became so."""
        # Of the functions and their gradients at once: in their order, each knows of its inputs.
        self.look()
        unsettled, self._unsettled = self._unsettled, []
        for gradient in unsettled:
            gradient.settle()
        if not self.gradients:
            for node in self.held:
                node.release()
            self.held = []

    def look(self) -> None:
        """Look at all results that have not been looked at."""
        with self.switch.off():
            self._look()

    def _look(self) -> None:
        pending, self._pending = self._pending, []
        every = [
            (node, [o for o in node.outputs if o.dtype in self.floats])
            for node in pending
            if node.name not in MOVES
        ]
        sums = [[self._sum(output) for output in outputs] for _, outputs in every]
        self.mx.eval(sums)
        suspects = {
            node.number
            for (node, _), of_node in zip(every, sums)
            if not all(math.isfinite(one.item()) for one in of_node)
        }
        for node in pending:
            moved = node.name in MOVES and any(one.state for one in node.inputs)
            if moved or node.number in suspects:
                self._check(node, [o for o in node.outputs if o.dtype in self.floats])
        for node in pending:
            if not node.depth:
                node.release()

    def _all_finite(self, arrays: list[Any]) -> bool:
        sums = [self._sum(array) for array in arrays]
        self.mx.eval(sums)
        return all(math.isfinite(one.item()) for one in sums)

    def _sum(self, array: Any) -> Any:
        """A sum that is finite only if each element is: one pass, and one operation at most."""
        mx = self.mx
        if array.size == 1 and array.dtype != mx.complex64:
            return array
        if array.dtype == mx.complex64:
            return mx.abs(array).sum()
        return (array.astype(mx.float32) if array.dtype in self.narrow else array).sum()

    def _check(self, node: Node, outputs: list[Any]) -> None:
        """Look closely: a sum of finite numbers may overflow."""
        mx = self.mx
        if not all(mx.isfinite(output).all().item() for output in outputs):
            self._not_finite(node, outputs)

    def _not_finite(self, node: Node, outputs: list[Any]) -> None:
        mx = self.mx
        node.state = NAN if any(mx.isnan(o).any().item() for o in outputs) else INFINITE
        node.literal = any(map(_wild, node.args)) or any(map(_wild, node.kwargs.values()))
        before = max((one.state for one in node.inputs), default=FINITE)
        if before < node.state and self._described < DESCRIBED:
            self._described += not node.literal
            node.facts = facts.of_operation(self, node, outputs)

    @staticmethod
    def birth(nodes: list[Node]) -> Optional[Node]:
        """See `birth`."""
        return birth(nodes)

    def end(self) -> None:
        """Forget all: the step is over, and all was well."""
        # Their finalizers change `_values`, so that it goes first.
        nodes = [node for _, node in self._values.values()]
        self._values.clear()
        for node in (*nodes, *self._pending, *self.held):
            if node.outputs or node.inputs:
                node.release()
                node.inputs, node.consumers = [], []
        self._stack.clear()
        self._pending, self.held, self.last, self._unsettled = [], [], [], []


def _wild(argument: Any) -> bool:
    if isinstance(argument, float):
        return argument != argument or argument in (float("inf"), float("-inf"))
    return isinstance(argument, (list, tuple)) and any(map(_wild, argument))


def birth(nodes: list[Node]) -> Optional[Node]:
    """The operation, or array from outside, that the bad ones among `nodes` go back to.

    NaN is followed to where no input was NaN, and from there an infinity to where no input was
    infinite. The first in the order of the program counts.
    """
    births = [born for node in nodes if node.state and (born := _birth(node)) is not None]
    return min(births, key=lambda node: node.number, default=None)


def _birth(node: Node) -> Optional[Node]:
    born = min(_sources(node, node.state), key=lambda one: one.number)
    if born.state == NAN:
        infinite = [one for one in born.inputs if one.state == INFINITE]
        overflows = [source for one in infinite for source in _sources(one, INFINITE)
                     if not source.literal and (source.name or source.label)]  # fmt: skip
        return min(overflows, key=lambda one: one.number, default=born)
    return born


def _sources(node: Node, state: int) -> list[Node]:
    """The nodes above `node`, itself among them, that are bad as it is and have no such input."""
    seen: set[int] = set()
    left, sources = [node], []
    while left:
        one = left.pop()
        if one.number in seen:
            continue
        seen.add(one.number)
        worse = [above for above in one.inputs if above.state >= state]
        left += worse
        if not worse:
            sources.append(one)
    return sources
