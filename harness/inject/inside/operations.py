"""MLX's operations under a probe: each function of mlx.core, and each operator and method of its
arrays, goes through one Python function that can hand the call to a tape.

Installed right after mlx.core is imported, so that whoever imports a function by its name gets the
one that is watched. Without a tape a call costs one more Python call. Functions are not compiled:
`mx.compile` gives its function back. Needs the standard library alone, from Python 3.9 on.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any, Callable, Iterator, Optional

from . import custom
from .wrapping import wraps

MODULES = ("fast", "linalg", "random", "fft", "distributed")
"""The modules of mlx.core whose functions are operations too."""
NO_OPERATION = frozenset(
    (
        "array_equal", "async_eval", "broadcast_shapes", "can_cast", "checkpoint", "clear_cache",
        "clear_streams", "compile", "cuda_kernel", "default_device", "default_stream",
        "device_count", "device_info", "disable_compile", "einsum_path", "enable_compile", "eval",
        "export_function", "export_to_dot", "exporter", "from_dlpack", "get_active_memory",
        "get_array_buffer_size", "get_cache_memory", "get_memory_limit", "get_peak_memory",
        "get_printoptions", "grad", "import_function", "init", "is_available", "isdtype",
        "issubdtype", "jvp", "key", "load", "metal_kernel", "new_stream",
        "new_thread_local_stream", "new_thread_unsafe_stream", "precompiled_cuda_kernel",
        "printoptions", "reset_peak_memory", "result_type", "save", "save_gguf",
        "save_safetensors", "savez", "savez_compressed", "seed", "set_cache_limit",
        "set_default_device", "set_default_stream", "set_memory_limit", "set_printoptions",
        "set_wired_limit", "stream", "synchronize", "value_and_grad", "vjp", "vmap",
    )
)  # fmt: skip
"""Functions that compute nothing, or call functions of the user's: these are handled apart."""
NO_METHOD = frozenset(
    (
        "__array__", "__array_namespace__", "__bool__", "__bytes__", "__complex__", "__copy__",
        "__deepcopy__", "__dlpack__", "__dlpack_device__", "__float__", "__format__",
        "__getstate__", "__index__", "__init__", "__int__", "__iter__", "__len__", "__repr__",
        "__setstate__", "item", "tolist",
    )
)  # fmt: skip
PROPERTIES = ("real", "imag", "T", "mT")
IN_PLACE = frozenset(
    f"__i{name}__"
    for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow", "and", "or", "lshift",
        "rshift", "xor",
    )
) | {"__setitem__"}  # fmt: skip
"""Methods that give their array another value."""
AT = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


class Switch:
    """The tape that the calls go to, if there is one now."""

    def __init__(self) -> None:
        self.tape: Optional[Any] = None
        self.identity: Any = None
        """MLX's own `custom_function`, for what the probe puts between two operations."""

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Let the probe itself use MLX."""
        tape, self.tape = self.tape, None
        try:
            yield
        finally:
            self.tape = tape


def install(mx: Any) -> Switch:
    """Put all operations of `mx`, mlx.core, behind a switch, which is off."""
    switch = Switch()
    for home in (mx, *(getattr(mx, name) for name in MODULES if hasattr(mx, name))):
        for name in dir(home):
            function = getattr(home, name)
            if type(function).__name__ == "nb_func" and name not in NO_OPERATION:
                setattr(home, name, _function(switch, name, function))
    array = mx.array
    for name, method in list(vars(array).items()):
        if type(method).__name__ == "nb_method" and name not in NO_METHOD:
            made = _in_place if name in IN_PLACE else _function
            setattr(array, name, made(switch, name, method))
    for name in PROPERTIES:
        if name in vars(array):
            setattr(array, name, property(_function(switch, name, vars(array)[name].fget)))
    if "at" in vars(array):
        array.at = property(_at(switch, vars(array)["at"].fget))
    array.__iter__ = _iterate
    _transforms(mx, switch)
    switch.identity = mx.custom_function
    custom.install(mx, switch)
    return switch


def _function(switch: Switch, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(*args: Any, **kwargs: Any) -> Any:
        tape = switch.tape
        if tape is None:
            return function(*args, **kwargs)
        return tape.call(name, function, args, kwargs)

    return _like(function, operation)


def _in_place(switch: Switch, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def operation(self: Any, *args: Any) -> Any:
        tape = switch.tape
        if tape is None:
            return method(self, *args)
        return tape.change(name, method, self, args)

    return _like(method, operation)


def _like(function: Callable[..., Any], made: Callable[..., Any]) -> Callable[..., Any]:
    made.__name__ = made.__qualname__ = getattr(function, "__name__", made.__name__)
    made.__doc__ = getattr(function, "__doc__", None)
    return made


def _iterate(self: Any) -> Iterator[Any]:
    return iter([self[i] for i in range(len(self))])


def _at(switch: Switch, get: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def at(self: Any) -> Any:
        return get(self) if switch.tape is None else _At(switch, get, self)

    return at


class _At:
    """`array.at[index].add(value)`, as one operation of the array and the value."""

    def __init__(self, switch: Switch, get: Callable[[Any], Any], array: Any) -> None:
        self._switch, self._get, self._array = switch, get, array
        self._index: Any = None

    def __getitem__(self, index: Any) -> _At:
        self._index = index
        return self

    def __getattr__(self, name: str) -> Any:
        if name not in AT:
            raise AttributeError(name)
        get, index = self._get, self._index

        def operation(array: Any, value: Any) -> Any:
            return getattr(get(array)[index], name)(value)

        return functools.partial(_function(self._switch, f"at.{name}", operation), self._array)


# --- functions that call functions ---------------------------------------------------------------


def _transforms(mx: Any, switch: Switch) -> None:
    original_vmap, original_checkpoint = mx.vmap, mx.checkpoint
    original_value_and_grad, original_grad, original_vjp = mx.value_and_grad, mx.grad, mx.vjp

    def compile(fun: Any = None, *args: Any, **kwargs: Any) -> Any:
        return fun

    def vmap(fun: Any, *args: Any, **kwargs: Any) -> Any:
        mapped = original_vmap(fun, *args, **kwargs)

        @_wraps(fun)
        def operation(*a: Any, **k: Any) -> Any:
            # Nothing can be evaluated inside: it is one operation.
            tape = switch.tape
            if tape is None:
                return mapped(*a, **k)
            return tape.call("vmap", _silent(switch, mapped), a, k)

        return operation

    def checkpoint(fun: Any) -> Any:
        return _linked(switch, fun, original_checkpoint)

    def value_and_grad(fun: Any, argnums: Any = None, argnames: Any = ()) -> Any:
        def transform(inner: Any) -> Any:
            return original_value_and_grad(inner, argnums, list(_names(argnames)))

        return _differentiated(switch, fun, transform, argnums, argnames, True)

    def grad(fun: Any, argnums: Any = None, argnames: Any = ()) -> Any:
        def transform(inner: Any) -> Any:
            return original_grad(inner, argnums, list(_names(argnames)))

        return _differentiated(switch, fun, transform, argnums, argnames, False)

    def vjp(fun: Any, primals: Any, cotangents: Any) -> Any:
        if switch.tape is None:
            return original_vjp(fun, primals, cotangents)
        with switch.tape.gradient() as gradient:
            inner = gradient.inner(fun, list(primals))
            values, grads = original_vjp(inner, primals, cotangents)
            gradient.done(values, grads, gradient.arguments)
        return values, grads

    for function in (compile, vmap, checkpoint, value_and_grad, grad, vjp):
        setattr(mx, function.__name__, function)


def _silent(switch: Switch, function: Any) -> Any:
    def silent(*args: Any, **kwargs: Any) -> Any:
        with switch.off():
            return function(*args, **kwargs)

    return silent


def _names(argnames: Any) -> tuple[str, ...]:
    return (argnames,) if isinstance(argnames, str) else tuple(argnames or ())


def _wraps(fun: Any) -> Callable[[Any], Any]:
    return wraps(fun) if hasattr(fun, "__name__") else lambda made: made


def _linked(switch: Switch, fun: Any, transform: Callable[[Any], Any]) -> Any:
    """`transform(fun)`: what it hands to `fun` and gets from it are other objects that stand for
    the same arrays."""
    outside: list[Any] = []
    results: list[Any] = []

    @_wraps(fun)
    def inner(*a: Any, **k: Any) -> Any:
        tape = switch.tape
        if tape is None:
            return fun(*a, **k)
        if not outside:
            # It is computed once more, for the backward pass.
            with tape.again():
                return fun(*a, **k)
        tape.link(outside.pop(), (a, k))
        result = fun(*a, **k)
        results[:] = [result]
        return result

    made = transform(inner)

    @_wraps(fun)
    def outer(*a: Any, **k: Any) -> Any:
        tape = switch.tape
        if tape is None:
            return made(*a, **k)
        outside[:] = [list(tape.arrays((a, k)))]
        result = made(*a, **k)
        tape.link(results.pop(), result)
        return result

    return outer


def _differentiated(
    switch: Switch,
    fun: Any,
    transform: Callable[[Any], Any],
    argnums: Any,
    argnames: Any,
    has_value: bool,
) -> Any:
    plain = transform(fun)
    numbers = [0] if argnums is None and not _names(argnames) else argnums
    numbers = [numbers] if isinstance(numbers, int) else list(numbers or ())

    @_wraps(fun)
    def outer(*a: Any, **k: Any) -> Any:
        if switch.tape is None:
            return plain(*a, **k)
        with switch.tape.gradient() as gradient:
            made = transform(gradient.inner(fun, (a, k)))
            result = made(*a, **k)
            positional, named = gradient.arguments
            wanted = [positional[n] for n in numbers if n < len(positional)]
            wanted += [named[name] for name in _names(argnames) if name in named]
            if has_value:
                gradient.done(result[0], result[1], wanted)
            else:
                gradient.done(gradient.value, result, wanted)
        return result

    return outer
