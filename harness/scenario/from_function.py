"""Make a scenario, which is a file, of a function in a file or a notebook.

The supervisor writes a small file (`write`) that, in the worker, imports the function from where
it stands (`function`), with the module's own name and the same `sys.path`. A function that
stands in no file, as in a notebook, is written out with all that it uses (`from_notebook`), to a
second file.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import UsageError
from harness.scenario import from_notebook, pytest_stub, slice_source

Function = Callable[..., Any]


# -- the supervisor's side


def write(file: Path, functions: Mapping[str, Function]) -> None:
    """Write `file`, a scenario that binds each of `functions` to its name.

    They stand at the top level of a module, or are a `functools.partial` of one that does, with
    literals, paths and members of an Enum for arguments. Raises UsageError for any other.

    What stands in no file goes to a file beside it. In `file` itself a name of theirs could be one
    that means something there: a function may call another one that is named `make_step`.
    """
    bare = [_unwrapped(function) for function in functions.values()]
    homeless = [function for function in bare if not _file(function).is_file()]
    beside = file.with_name(f"{file.stem}__cells.py")
    if homeless:
        beside.write_text(from_notebook.source(homeless) + "\n", encoding="utf-8")
    doc = " ".join(summary(bare[0]).replace("\\", "").replace('"', "'").split())
    lines = [f'"""{doc}"""', "", "from functools import partial", "from pathlib import Path", ""]
    lines += ["from harness.scenario import from_function", ""]
    for (name, function), origin in zip(functions.items(), bare, strict=True):
        if origin in homeless:
            expression = _import_of(origin.__name__, beside.stem, beside)
        else:
            expression = _import_of(origin.__qualname__, origin.__module__, _file(origin))
        lines.append(f"{name} = {_with_arguments(expression, function)}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def summary(function: Function) -> str:
    """First line of the function's docstring, or where it is from."""
    bare = _unwrapped(function)
    doc = inspect.getdoc(bare) or f"{bare.__name__} of {_file(bare).name}."
    return doc.partition("\n")[0]


def name(function: Function) -> str:
    """The function's name where it stands. Raises UsageError as `write` does."""
    own: str = _unwrapped(function).__name__
    return own


NOT_WHOLE = "# Not all that this uses is shown: "
"""The beginning of a text that cannot be run alone."""


def text(functions: Mapping[str, Function]) -> str:
    """The text that a person wrote of `functions`, with all of it that they use; at its end they
    are bound.

    Where not all of it can be had, their own texts after a line that says why.
    """
    bare = {name: _unwrapped(function) for name, function in functions.items()}
    homeless = [not _file(function).is_file() for function in bare.values()]
    try:
        if all(homeless):
            whole = from_notebook.source(list(bare.values()))
        elif any(homeless):
            raise UsageError(
                "one function stands in a file, the other in none: put both into one file"
            )
        else:
            stand = [
                (origin.__module__, _file(origin), origin.__name__) for origin in bare.values()
            ]
            whole = slice_source.source(stand)
        bound = {
            name: _with_arguments(bare[name].__name__, function)
            for name, function in functions.items()
        }
    except UsageError as error:
        own = "\n\n".join(filter(None, map(_text, bare.values())))
        return f"{NOT_WHOLE}{' '.join(str(error).split())}\n{own}" if own else ""
    if any(isinstance(function, partial) for function in functions.values()):
        whole += "\n\nfrom functools import partial\n"
    if not all(name == value for name, value in bound.items()):
        entries = ", ".join(f'"{name}": {value}' for name, value in bound.items())
        whole += f"\n\n{BOUND} = {{{entries}}}\n"
    return whole


BOUND = "SCENARIO"
"""The name that is bound to the functions of a scenario, where they have other names."""


def _text(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def _unwrapped(function: Function) -> Any:
    while isinstance(function, partial):
        function = function.func
    known = inspect.isfunction(function) and (
        function.__qualname__ == function.__name__ or _is_static(function)
    )
    if not known:
        name = getattr(function, "__qualname__", repr(function))
        raise UsageError(
            f"{name} is not at the top level of a module, so another process cannot import it: "
            "move it there, and give it its arguments by functools.partial"
        )
    if function.__name__ == "<lambda>":
        raise UsageError("a lambda has no name by which another process could import it: use def")
    return function


def _is_static(function: Any) -> bool:
    """Check whether it is a staticmethod of a class at the top level of its module."""
    *outer, name = function.__qualname__.split(".")
    holder: Any = sys.modules.get(function.__module__)
    for part in outer:
        holder = getattr(holder, part, None)
    return inspect.isclass(holder) and isinstance(vars(holder).get(name), staticmethod)


def _file(function: Any) -> Path:
    return Path(os.path.abspath(inspect.unwrap(function).__code__.co_filename))  # noqa: PTH100  # links stay


def _import_of(name: str, module: str, file: Path) -> str:
    path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  # links stay
    return f"from_function.function{(module, str(file), name, path)!r}"


def _with_arguments(text: str, function: Function) -> str:
    if not isinstance(function, partial):
        return text
    arguments = [_argument(argument) for argument in function.args]
    arguments += [f"{key}={_argument(value)}" for key, value in function.keywords.items()]
    return f"partial({', '.join([text, *arguments])})"


def _argument(value: Any) -> str:
    """The expression that evaluates to `value` in the worker."""
    if isinstance(value, Path):
        return f"Path({str(value)!r})"
    kind = type(value)
    home = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if isinstance(value, Enum) and home and "<locals>" not in kind.__qualname__:
        file = Path(os.path.abspath(home))  # noqa: PTH100  # links stay
        return f"{_import_of(kind.__qualname__, kind.__module__, file)}[{value.name!r}]"
    try:
        same = bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError):
        same = False
    if not same:
        raise UsageError(
            f"the argument {value!r} cannot be passed to another process: pass a literal, "
            "such as a number or a string, a path, or a member of an Enum"
        )
    return repr(value)


# -- the worker's side


def function(module: str, file: str, name: str, path: Sequence[str]) -> Function:
    """The function `name` of `module`, which stands in `file` and saw `path` as its `sys.path`."""
    sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
    wanted: Function = attrgetter(name)(_module(module, Path(file)))
    return wanted


def _module(name: str, file: Path) -> ModuleType:
    if name == "__main__":
        # A script that calls us: it is imported, and what stands under its `if` is left alone.
        name = f"{file.stem}__main"
    if name in sys.modules:
        return sys.modules[name]
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or Path(spec.origin) != file:
        # Found by other means, such as pytest's import mode `importlib`.
        spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    with pytest_stub.for_pytest() as stand_in:
        try:
            spec.loader.exec_module(module)
            return module
        except Exception:
            if not stand_in.used:
                raise
    # Whether it was for what stood in for pytest, the real one tells.
    spec.loader.exec_module(module)
    return module


def inside_worker() -> bool:
    """Check whether this process is a worker, which imports the files of its scenario."""
    return any("harness.worker" in argument for argument in sys.orig_argv)
