"""The backward pass under a probe: each result of a differentiated function goes through an
identity whose own gradient function looks at the cotangent that comes back.

The first cotangent that is not finite lies between an operation and those that used its result.
Each of these is differentiated again by itself, with the cotangent that it got: the one whose
cotangent was finite and whose gradient is not is where it was born.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from . import facts

if TYPE_CHECKING:
    from .tape import Node, Tape

BACKWARD = "backward"
"""The name of the node that stands for a backward pass."""
GRADIENT = "gradient"
"""The name of the nodes of its results, one by one."""


class Gradient:
    """One call of a gradient function."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._heard: list[tuple[Node, Any]] = []
        self.arguments: Any = ((), {})
        """The arguments that the differentiated function got, as it got them."""
        self.value: Any = None
        """The result of the differentiated function, as it returned it."""
        self._results: tuple[list[Node], Node, list[Any], list[Any]]
        """The nodes of the values and of the backward pass; its gradients, and what they are of."""
        self._open = True

    def __enter__(self) -> Gradient:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open = False
        tape = self._tape
        tape.running = [one for one in tape.running if one is not self]

    def inner(self, fun: Callable[..., Any], outside: Any) -> Callable[..., Any]:
        """`fun`, but what it computes is recorded as part of this gradient."""

        # Taken now: MLX puts other arrays into the very dictionaries that it was handed.
        known = list(self._tape.arrays(outside))

        def inside(*args: Any, **kwargs: Any) -> Any:
            tape = self._tape
            tape.link(known, (args, kwargs))
            self.arguments = (args, kwargs) if isinstance(outside, tuple) else list(args)
            tape.gradients.append(self)
            try:
                self.value = fun(*args, **kwargs)
            finally:
                tape.gradients.remove(self)
            tape.running.append(self)
            return self.value

        return inside

    def tapped(self, node: Node, result: Any) -> Any:
        """`result`, whose arrays are replaced by identities that hear their cotangents."""
        if isinstance(result, self._tape.mx.array):
            return self._tap(node, 0, result)
        index = 0

        def replace(tree: Any) -> Any:
            nonlocal index
            if isinstance(tree, self._tape.mx.array):
                index += 1
                return self._tap(node, index - 1, tree)
            if type(tree) in (list, tuple):
                return type(tree)(map(replace, tree))
            return tree

        return replace(result)

    def tapped_in_place(self, node: Node, array: Any) -> None:
        """Let `array` itself become such an identity."""
        if array.dtype in self._tape.floats:
            tapped = self._tap(node, 0, array.__copy__())
            with self._tape.switch.off():
                array[()] = tapped  # MLX 0.25 takes no `...` here

    def _tap(self, node: Node, index: int, array: Any) -> Any:
        tape = self._tape
        if array.dtype not in tape.floats:
            return array

        def hear(primals: Any, cotangents: Any, outputs: Any) -> Any:
            if self._open:
                node.cotangents[index] = cotangents
                tape.bytes += cotangents.nbytes
                self._heard.append((node, cotangents))
            return cotangents

        identity = tape.switch.identity(lambda x: x)
        identity.vjp(hear)
        tapped = identity(array)
        tape.assign(tapped, node)
        return tapped

    def done(self, value: Any, gradients: Any, wanted: Any) -> None:
        """Take in the result: `gradients` are those of the arrays of `wanted`."""
        tape = self._tape
        tape.link(self.value, value)
        tape.passes += 1
        values = [tape.value(array) for array in tape.arrays(value)]
        given, leaves = list(tape.arrays(gradients)), list(tape.arrays(wanted))
        node = tape._new(BACKWARD, values, given)
        node.passes = tape.passes
        for index, array in enumerate(given):
            one = tape._new(GRADIENT, [node], [array])
            label = tape.value(leaves[index]).label if len(leaves) == len(given) else ""
            one.label = f"gradient of {label.replace('parameter ', '')}" if label else ""
            tape.assign(array, one)
        tape.last += [*values, node]
        self._results = values, node, given, leaves
        tape.over(self)

    def settle(self) -> None:
        """Find where the gradients became bad, once all has been looked at, and let go of it."""
        values, node, gradients, leaves = self._results
        if node.state and not any(one.state for one in values):
            with self._tape.switch.off():
                node.facts = self._born(gradients, leaves)
        self._heard, self._results = [], ([], node, [], [])

    def _born(self, gradients: list[Any], leaves: list[Any]) -> dict[str, Any]:
        """The facts of the operation whose gradient is the first that is not finite."""
        mx, tape = self._tape.mx, self._tape
        flags = [(node, mx.isfinite(cotangent).all()) for node, cotangent in self._heard]
        mx.eval([flag for _, flag in flags])
        bad: Optional[Node] = next((node for node, flag in flags if not flag.item()), None)
        if bad is None and len(gradients) == len(leaves):
            for gradient, leaf in zip(gradients, leaves):
                if gradient.dtype in tape.floats and not mx.isfinite(gradient).all().item():
                    bad = tape.value(leaf)
                    break
        if bad is None:
            return {}
        for user in sorted(set(bad.consumers), key=lambda one: -one.number):
            if described := self._of_user(user, bad):
                return described
        return facts.of_sum(bad)

    def _of_user(self, user: Node, bad: Node) -> dict[str, Any]:
        """The facts if `user` got finite cotangents and its own gradient is not finite."""
        tape, mx = self._tape, self._tape.mx
        cotangents = list(user.cotangents.values())
        if not cotangents or not all(mx.isfinite(c).all().item() for c in cotangents):
            return {}
        born = tape.birth(user.own)
        if born is not None and born.facts.get("kind") == "operation":
            return {**born.facts, "place": BACKWARD, "own": user.name}
        try:
            gradients = pulled_back(tape, user, bad, None)
        except Exception:  # an operation that has no gradient of its own, or not of all results
            return {}
        if all(mx.isfinite(gradient).all().item() for gradient in gradients):
            return {}
        return facts.of_gradient(tape, user, bad, gradients)


def pulled_back(tape: Tape, user: Node, bad: Node, dtype: Any) -> list[Any]:
    """The gradients of `user` by its inputs that `bad` computed, all of it cast to `dtype`."""
    mx = tape.mx

    def cast(array: Any) -> Any:
        wanted = dtype is not None and array.dtype in tape.floats
        return array.astype(dtype) if wanted else array

    inputs = list(tape.arrays((user.args, user.kwargs)))
    chosen = [i for i, array in enumerate(inputs) if tape.value(array) is bad]
    plain = [cast(array) for array in inputs]

    def run(*primals: Any) -> Any:
        arrays = list(plain)
        for position, primal in zip(chosen, primals):
            arrays[position] = primal
        left = iter(arrays)

        def fill(tree: Any) -> Any:
            if isinstance(tree, mx.array):
                return next(left)
            if type(tree) in (list, tuple):
                return type(tree)(map(fill, tree))
            if isinstance(tree, dict):
                return {key: fill(item) for key, item in tree.items()}
            return tree

        args = fill(user.args)
        assert user.function is not None
        outputs = list(tape.arrays(user.function(*args, **fill(user.kwargs))))
        return [outputs[i] for i in sorted(user.cotangents)]

    cotangents = [cast(user.cotangents[i]) for i in sorted(user.cotangents)]
    _, gradients = mx.vjp(run, [plain[i] for i in chosen], cotangents)
    mx.eval(gradients)
    return list(gradients)
