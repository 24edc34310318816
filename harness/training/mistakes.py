"""The commonest mistakes in a scenario, each told in a sentence with its file and line."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from harness.errors import ScenarioError
from harness.text.units import plural

Step = Callable[..., Any]


def make(make_step: Callable[[Any], Any], training: Any) -> Step:
    """The step that `make_step` returns. Raises ScenarioError where it returns none."""
    _fits(make_step, (training,), "the harness calls it with one argument, training")
    step = make_step(training)
    if step is None:
        raise ScenarioError(f"{at(make_step)} returns nothing: end it with `return step`")
    if not callable(step):
        kind = type(step).__name__
        raise ScenarioError(
            f"{at(make_step)} returns {_article(kind)}, not a function: return the step itself, "
            "without calling it"
        )
    return step  # type: ignore[no-any-return]


def next_batch(batches: Iterator[Any], maker: Any, done: int, steps: int) -> Any:
    """The next batch. Raises ScenarioError where there is none: a training draws for ever.

    `maker` is the function that made them, or its generator.
    """
    try:
        return next(batches)
    except StopIteration:
        pass
    raise ScenarioError(
        f"{at(maker)} ended after {plural(done, 'batch', 'batches')} of {steps}: repeat them with "
        f"`while True`, or give --steps {max(1, done)}"
    )


def check_batch(step: Step, arguments: tuple[Any, ...]) -> None:
    """Raise ScenarioError if the step cannot take a batch of so many parts."""
    parts = plural(len(arguments), "part")
    _fits(step, arguments, f"a batch has {parts}: batches(training) yields what the step takes")


def check_loss(step: Step, loss: Any) -> None:
    """Raise ScenarioError for what is no loss: a scalar array, or None to read none."""
    if loss is None:
        return
    if isinstance(loss, bool | int | float):
        raise ScenarioError(
            f"{at(step)} returns a number, not an array: return the loss without .item(); the "
            "harness reads it, and times that"
        )
    if isinstance(loss, tuple | list | dict):
        kind = type(loss).__name__
        raise ScenarioError(f"{at(step)} returns {_article(kind)}: return the loss alone")
    if isinstance(loss, mx.array) and loss.size != 1:
        shape = "×".join(map(str, loss.shape))
        raise ScenarioError(
            f"{at(step)} returns a loss of shape {shape}, not one number: take its mean()"
        )


def unwatched() -> str | None:
    """The class of the largest model that is there; None where nothing has parameters."""
    # By its type: isinstance asks the object's __class__, and proxies run code of their own for it.
    return largest([found for found in gc.get_objects() if issubclass(type(found), nn.Module)])


def largest(models: Sequence[nn.Module]) -> str | None:
    """The class of the model with the most modules, of those that are no part of another one."""
    inner = {id(part) for model in models for part in model.modules() if part is not model}
    outer = [model for model in models if id(model) not in inner and model.parameters()]
    found = max(outer, key=lambda model: len(model.modules()), default=None)
    return type(found).__name__ if found is not None else None


def at(function: Any) -> str:
    """The function's place, such as `mine.py:12 in step`; its name where it has none."""
    found = inspect.unwrap(function) if callable(function) else function
    found = getattr(found, "__func__", getattr(found, "func", found))
    code = getattr(found, "__code__", None) or getattr(found, "gi_code", None)
    if code is None:
        return f"the function {getattr(found, '__name__', type(found).__name__)}"
    return f"{PurePath(code.co_filename).name}:{code.co_firstlineno} in {code.co_name}"


def _fits(function: Callable[..., Any], arguments: tuple[Any, ...], what: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a function in C++ nothing is known
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ScenarioError(f"{at(function)}: {error}; {what}") from None


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
