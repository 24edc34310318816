"""Functions in the place of others, which may be MLX's own."""

from __future__ import annotations

import functools
from typing import Any, Callable, TypeVar

_Made = TypeVar("_Made", bound=Callable[..., Any])
_TEXTS = ("__name__", "__qualname__")


def wraps(function: Any, *more: str) -> Callable[[_Made], _Made]:
    """`functools.wraps`, with the attributes `more`, for whatever can be called.

    What MLX 0.25 compiles or differentiates has None for a name, which no function of Python takes.
    """
    names = (*functools.WRAPPER_ASSIGNMENTS, *more)
    taken = [
        name
        for name in names
        if name not in _TEXTS or isinstance(getattr(function, name, None), str)
    ]

    def update(made: _Made) -> _Made:
        functools.update_wrapper(made, function, assigned=taken)
        return made

    return update
