"""`mx.custom_function` under a probe.

A custom function is one operation, whose inputs are what it computed inside too: what is born there
is found there. Its own gradient function is recorded in the same way, and asked when the cotangent
was finite and the gradient is not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from .operations import Switch
    from .tape import Tape

OWN = ("vjp", "jvp", "vmap")
"""Functions that a program may give for the transformations of a custom one."""


def install(mx: Any, switch: Switch) -> None:
    """Put custom functions made from now on behind `switch`."""
    original = mx.custom_function

    class OfTheProbe(Custom):
        def __init__(self, fun: Callable[..., Any]) -> None:
            super().__init__(fun, original, switch)

    mx.custom_function = OfTheProbe


class Custom:
    """A custom function of the program's."""

    def __init__(
        self, fun: Callable[..., Any], original: Callable[..., Any], switch: Switch
    ) -> None:
        self._fun = fun
        self._original = original
        self._switch = switch
        self._plain = original(fun)
        self._own: dict[str, Callable[..., Any]] = {}
        self.__doc__ = getattr(fun, "__doc__", None)

    def vjp(self, fun: Callable[..., Any]) -> Custom:
        return self._set("vjp", fun)

    def jvp(self, fun: Callable[..., Any]) -> Custom:
        return self._set("jvp", fun)

    def vmap(self, fun: Callable[..., Any]) -> Custom:
        return self._set("vmap", fun)

    def _set(self, name: str, fun: Callable[..., Any]) -> Custom:
        getattr(self._plain, name)(fun)
        self._own[name] = fun
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tape = self._switch.tape
        if tape is None:
            return self._plain(*args, **kwargs)
        return self._recorded(tape, args, kwargs)

    def _recorded(self, tape: Tape, args: Any, kwargs: Any) -> Any:
        known = tape.arrays((args, kwargs))
        computed: list[Any] = []
        gradients: list[Any] = []
        switch, own = self._switch, self._own

        def inside(*a: Any, **k: Any) -> Any:
            if switch.tape is not tape:
                return self._fun(*a, **k)
            tape.link(known, (a, k))
            result = self._fun(*a, **k)
            computed[:] = [tape.value(array) for array in tape.arrays(result)]
            return result

        def pulled(primals: Any, cotangents: Any, outputs: Any) -> Any:
            result = own["vjp"](primals, cotangents, outputs)
            if switch.tape is tape:
                gradients[:] = [tape.value(array) for array in tape.arrays(result)]
            return result

        made = self._original(inside)
        for name in OWN:
            if name in own:
                getattr(made, name)(pulled if name == "vjp" else own[name])
        result = tape.call(f"custom function {_name(self._fun)}", made, args, kwargs)
        for array in tape.arrays(result)[:1]:
            node = tape.value(array)
            # What no operation computed, as a kernel's result, says nothing of where it was born.
            node.inputs += [one for one in computed if one.name and one is not node]
            node.own = gradients
        return result


def _name(fun: Any) -> str:
    name = str(getattr(fun, "__name__", type(fun).__name__))
    code = getattr(fun, "__code__", None)
    if code is None:
        return name
    return f"{name} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"
