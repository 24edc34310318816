"""The modules of a model: those that are hidden from it, and those with a low-rank adapter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import mlx.nn as nn
from mlx.utils import tree_flatten

DEPTH = 4
"""Objects within each other that are searched for hidden modules."""
WIDTH = 256
"""Parts of an object that are searched: a vocabulary holds no layers."""
_LEAVES = (str, bytes, int, float, bool, type(None))


class Hidden(NamedTuple):
    """A module with parameters of its own that are not parameters of the model."""

    path: str
    holder: str
    """The class that holds it."""
    module: Any


def unregistered(model: Any) -> list[Hidden]:
    """The modules that `model` holds in what MLX does not search: a plain object, a tuple.

    A name that begins with an underscore hides a module on purpose, and a module that is frozen is
    not meant to be trained.
    """
    known = {id(module) for _, module in model.named_modules()}
    found: list[Hidden] = []
    for name, module in model.named_modules():
        inside = {**vars(module), **dict(module)}
        for key, value in inside.items():
            if not str(key).startswith("_") and not isinstance(value, nn.Module):
                path = f"{name}.{key}" if name else str(key)
                _search(value, path, type(module).__name__, DEPTH, known, found)
    return found


def _search(
    value: Any, path: str, holder: str, depth: int, known: set[int], found: list[Hidden]
) -> None:
    if isinstance(value, nn.Module):
        if id(value) not in known:
            known.add(id(value))
            if tree_flatten(value.trainable_parameters()):
                found.append(Hidden(path, holder, value))
        return
    if depth == 0 or isinstance(value, _LEAVES) or id(value) in known:
        return
    known.add(id(value))
    inside: Iterator[tuple[str, Any, str]]
    if isinstance(value, dict):
        inside = ((str(key), part, holder) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else holder
        inside = ((str(at), part, kind) for at, part in enumerate(value))
    else:
        kind = type(value).__name__
        inside = ((key, part, kind) for key, part in getattr(value, "__dict__", {}).items())
    for key, part, kind in itertools.islice(inside, WIDTH):
        if not key.startswith("_"):
            _search(part, f"{path}.{key}", kind, depth - 1, known, found)


def adapters(model: Any) -> list[Any]:
    """The layers of `model` that have a low-rank adapter, with `lora_a` and `lora_b` of it."""
    return [
        module for _, module in model.named_modules() if "lora_a" in module and "lora_b" in module
    ]
