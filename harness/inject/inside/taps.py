"""The uses that a training makes of its gradients, counted in passing.

The functions that a training calls are wrapped: an optimizer's `apply_gradients`,
`mx.value_and_grad`, `mx.compile` and the cross entropy. A wrapped one adds a call of Python, and
evaluates nothing. Only a look that is asked for (`Taps.look`) reads gradients.
"""

from __future__ import annotations

import os
import sys
import weakref
from typing import Any, Callable, Optional

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten

from .digest import item, sample
from .wrapping import wraps

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOREIGN = (os.path.dirname(os.path.dirname(os.path.abspath(nn.__file__))), _PACKAGE)
"""Folders whose files are not the user's own: MLX's and this package's."""


class Look:
    """The gradients of one step, read while it is made."""

    def __init__(self) -> None:
        self.tensors = 0
        self.zero = 0
        self.largest = 0.0
        self.made: Optional[float] = None
        self.differs = False
        """The optimizer returned other parameters than it was given."""
        self.had: dict[str, mx.array] = {}
        """By parameter, which elements of `sample` have a gradient."""
        self.weights: Optional[tuple[int, int]] = None
        """Labels whose weight in a cross entropy is not 0, and all of them."""

    def given(self, gradients: Any, parameters: Any, result: Any) -> None:
        """`parameters` became `result` by `gradients`, all of them trees of arrays."""
        self.had.update({n: sample(g) != 0 for n, g in tree_flatten(gradients)})
        largest = _largest(gradients)
        self.tensors += len(largest)
        self.zero += sum(value == 0 for value in largest)
        self.largest = _highest([self.largest, *largest])
        old = dict(tree_flatten(parameters))
        new = dict(tree_flatten(result))
        self.differs = self.differs or any(
            name in old and not mx.array_equal(old[name], new[name]).item() for name in new
        )

    def computed(self, gradients: Any) -> None:
        self.made = _highest([self.made or 0.0, *_largest(gradients)])

    def weighed(self, weights: mx.array) -> None:
        counted, of = self.weights or (0, 0)
        self.weights = counted + int(item((weights != 0).sum())), of + int(weights.size)


class Taps:
    """Wraps what trainings call, for the whole process, until `remove`."""

    def __init__(self) -> None:
        self.updates = 0
        self.traced = 0
        """Updates while a function was traced for compilation."""
        self.optimizer: Any = None
        """The last one that was given gradients."""
        self.place: Optional[str] = None
        self.compiled: Optional[dict[str, Any]] = None
        self.wide = False
        """Updates go to arrays that are wider than the model's own: to a master copy."""
        self.first_rate: Any = None
        self.on_update: Optional[Callable[[], None]] = None
        """Called after each update that is not traced."""
        self.on_batch: Optional[Callable[[Any], None]] = None
        """Called with the arrays that a step is given, but for its parameters."""
        self.look: Optional[Look] = None
        """The look under way."""
        self.model: Callable[[], Any] = lambda: None
        """Returns the model that is followed; None as long as there is none."""
        self._tracing = 0
        self._into_model = 0
        self._known: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._originals: list[tuple[Any, str, Any]] = []

    def install(self) -> Taps:
        self._wrap(optim.Optimizer, "apply_gradients", self._apply)
        for name in ("value_and_grad", "grad"):
            self._wrap(mx, name, self._transform)
        self._wrap(mx, "compile", self._compile)
        self._wrap(nn.losses, "cross_entropy", self._cross_entropy)
        return self

    def remove(self) -> None:
        """Put back what was wrapped, and tell nobody any more: the program may have kept functions
        that were made meanwhile."""
        for owner, name, original in reversed(self._originals):
            setattr(owner, name, original)
        self._originals.clear()
        self.on_update = self.on_batch = self.look = self.optimizer = None
        self.model = lambda: None

    def _wrap(self, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        self._originals.append((owner, name, original))
        setattr(owner, name, wraps(original, "__nb_signature__")(wrapper(original)))

    # -- the optimizer

    def _apply(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def apply_gradients(optimizer: Any, gradients: Any, parameters: Any) -> Any:
            self.updates += 1
            self.optimizer = optimizer
            if self.place is None:
                self.place = user_line(sys._getframe(1)) or ""
                _harmless(lambda: self._first(optimizer, parameters))
            if self._tracing:
                self.traced += 1
                self._into_model += hasattr(parameters, "trainable_parameters")
            result = original(optimizer, gradients, parameters)
            look = self.look
            if look is not None:
                _harmless(lambda: look.given(gradients, parameters, result))
            if self.on_update is not None and not self._tracing:
                _harmless(self.on_update)
            return result

        return apply_gradients

    def _first(self, optimizer: Any, parameters: Any) -> None:
        if not self._tracing:  # a traced one cannot be read later
            self.first_rate = optimizer.learning_rate
        own = dict(tree_flatten(self.model().trainable_parameters()))
        given = dict(tree_flatten(parameters))
        self.wide = any(
            name in own and value.dtype.size > own[name].dtype.size for name, value in given.items()
        )

    # -- gradients and losses

    def _transform(self, original: Callable[..., Any]) -> Callable[..., Any]:
        pair = original.__name__ == "value_and_grad"

        def transform(*args: Any, **kwargs: Any) -> Any:
            function = original(*args, **kwargs)

            @wraps(function)
            def called(*a: Any, **k: Any) -> Any:
                on_batch = self.on_batch
                if on_batch is not None and not self._tracing:
                    _harmless(lambda: on_batch(_given(a[1:], k)))
                result = function(*a, **k)
                look = self.look
                if look is not None:
                    _harmless(lambda: look.computed(result[1] if pair else result))
                return result

            return called

        return transform

    def _cross_entropy(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def cross_entropy(*args: Any, **kwargs: Any) -> Any:
            look = self.look
            if look is not None:
                weights = args[2] if len(args) > 2 else kwargs.get("weights")
                if weights is not None:
                    _harmless(lambda: look.weighed(weights))
            return original(*args, **kwargs)

        return cross_entropy

    # -- compiled steps

    def _compile(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def compile(*args: Any, **kwargs: Any) -> Any:
            function = args[0] if args else kwargs.get("fun")
            home = str(getattr(function, "__module__", "")).partition(".")[0]
            if not callable(function) or home in ("mlx", "mlx_lm"):
                return original(*args, **kwargs)
            # MLX knows what it has compiled by the function: the same one must get the same.
            traced = self._known.get(id(function))
            if traced is None or traced.__wrapped__ is not function:
                traced = self._known[id(function)] = self._traced(function)
            rest = {name: value for name, value in kwargs.items() if name != "fun"}
            compiled = original(traced, *args[1:], **rest)

            outputs = args[2] if len(args) > 2 else kwargs.get("outputs")

            @wraps(function)
            def called(*a: Any, **k: Any) -> Any:
                on_batch = self.on_batch
                if on_batch is not None and traced.updates:
                    _harmless(lambda: on_batch(_given(a, k)))
                if traced.done:
                    return compiled(*a, **k)
                return self._first_call(function, traced, outputs, lambda: compiled(*a, **k))

            return called

        return compile

    def _traced(self, function: Callable[..., Any]) -> Any:
        @wraps(function)
        def trace(*args: Any, **kwargs: Any) -> Any:
            self._tracing += 1
            marked.start = self._arrays()
            try:
                return function(*args, **kwargs)
            finally:
                self._tracing -= 1

        marked: Any = trace
        marked.start, marked.done, marked.updates = None, False, False
        return marked

    def _first_call(self, function: Any, traced: Any, outputs: Any, call: Callable[[], Any]) -> Any:
        """Check whether the step has the parameters that it updates.

        MLX puts others in the place of what it captures while it traces: what is still the same
        object then is not captured. What it gives out is in the tree of the `outputs`.
        """
        before, updates = self._arrays(), self._into_model
        try:
            return call()  # it may raise just because of that
        finally:
            start = traced.start
            if start is not None:  # else it was not traced: compilation is off
                traced.start, traced.done = None, True
                traced.updates = self._into_model > updates
                if traced.updates:
                    _harmless(lambda: self._check(function, before, start, outputs))

    def _check(self, function: Any, before: list[Any], start: list[Any], outputs: Any) -> None:
        given_out = {id(value) for _, value in tree_flatten(outputs)} if outputs else set()
        has = {
            "inputs": not {id(value) for value in before} & {id(value) for value in start},
            "outputs": {id(value) for value in self._arrays()} <= given_out,
        }
        if not all(has.values()):
            name = str(getattr(function, "__name__", "step"))
            self.compiled = {"function": name, "place": _defined(function), **has}

    def _arrays(self) -> list[Any]:
        try:
            return [value for _, value in tree_flatten(self.model().trainable_parameters())]
        except Exception:
            return []


def _largest(tree: Any) -> list[float]:
    """The largest magnitude of each array in `tree`; 0 exactly where all of it is."""
    arrays = [value for _, value in tree_flatten(tree) if isinstance(value, mx.array)]
    return [float(item(mx.abs(value.astype(mx.float32)).max())) for value in arrays if value.size]


def _highest(values: list[float]) -> float:
    """The highest of `values`; NaN if one of them is."""
    return next((value for value in values if value != value), max(values))


def _harmless(look: Callable[[], None]) -> None:
    """Look at what is the program's own: that may raise, and what is inside a transformation cannot
    be read."""
    try:
        look()
    except Exception:
        return


def user_line(frame: Any) -> Optional[str]:
    """The file's name and the line of the innermost frame of the user's own code."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(("<", *FOREIGN)):
            return f"{os.path.basename(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def _given(args: Any, kwargs: Any) -> list[Any]:
    """The arguments of a function, without its models."""
    return [value for value in (*args, *kwargs.values()) if not isinstance(value, nn.Module)]


def _defined(function: Any) -> str:
    code = getattr(function, "__code__", None)
    if code is None:
        return "?"
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"
