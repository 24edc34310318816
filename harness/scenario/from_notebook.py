"""The text of functions that stand in no file, with all that they use: for notebooks.

A worker is a process of its own and sees nothing of a notebook's variables. What a function uses
of them is written out before it: imports, other functions and classes, and literals.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any

from harness.errors import UsageError


def source(functions: Sequence[FunctionType]) -> str:
    """A module's text that defines `functions`.

    Raises UsageError when one of them uses what cannot be written out: an array, a model.
    """
    writer = _Writer()
    for function in functions:
        writer.define(function.__name__, function, function.__globals__)
    return "\n".join([*writer.imports, "", *writer.parts])


class _Writer:
    def __init__(self) -> None:
        self.imports: list[str] = []
        self.parts: list[str] = []
        self._seen: set[str] = set()

    def define(self, name: str, value: Any, world: dict[str, Any], user: str = "") -> None:
        """Write what makes `name` mean `value`, after all that this needs itself."""
        if name in self._seen:
            return
        self._seen.add(name)
        if isinstance(value, ModuleType):
            self.imports.append(f"import {value.__name__} as {name}")
        elif _importable(value):
            self.imports.append(f"from {value.__module__} import {value.__qualname__} as {name}")
        elif isinstance(value, FunctionType | type):
            text = _text(value)
            for used in sorted(names(text)):
                if used in world and not hasattr(builtins, used):
                    self.define(used, world[used], world, user=name)
            self.parts.append(text)
        elif _literal(value):
            self.parts.append(f"{name} = {value!r}")
        else:
            raise UsageError(
                f"{user} uses {name}, a {type(value).__name__}, which another process cannot have: "
                "make it inside the function, or move the code into a file"
            )


def _importable(value: Any) -> bool:
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return False
    return getattr(module, getattr(value, "__qualname__", ""), None) is value


def _literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError):
        return False


def names(text: str) -> set[str]:
    """Names that `text` takes from the world around it; in no scope are they its own."""
    return _taken(symtable.symtable(text, "text", "exec"), top=True)


def _taken(table: symtable.SymbolTable, top: bool = False) -> set[str]:
    taken = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (top or symbol.is_global())
    }
    return taken.union(*(_taken(inner) for inner in table.get_children()))


def _text(value: FunctionType | type) -> str:
    try:
        if isinstance(value, FunctionType):
            return _cell(value) + _function_text(value)
        return _class_text(value)
    except (OSError, TypeError, StopIteration) as error:
        raise UsageError(
            f"the source of {value.__qualname__} cannot be had: move it into a file"
        ) from error


def _function_text(value: FunctionType) -> str:
    """The source of a function.

    Since Python 3.13, a line of `python -c` may be found for what `exec` has made.
    """
    text, name = inspect.getsource(value), value.__code__.co_name
    if name.isidentifier() and f"def {name}" not in text:
        raise OSError
    return textwrap.dedent(text)


def _cell(value: FunctionType) -> str:
    """A comment that names the cell of a notebook; empty where it is not known."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    numbers = getattr(getattr(shell, "compile", None), "_filename_map", {})
    number = numbers.get(value.__code__.co_filename)
    return f"# In [{number}]:\n" if number is not None else ""


def _class_text(value: type) -> str:
    """The source of a class, by one of its methods, or by its name: no notebook knows it itself."""
    codes = [method.__code__ for method in vars(value).values() if isinstance(method, FunctionType)]
    for code in codes:
        lines = linecache.getlines(code.co_filename)
        for node in _classes(lines, value.__name__):
            if node.lineno <= code.co_firstlineno <= (node.end_lineno or 0):
                return _lines_of(node, lines)
    # It has no methods, or those of a dataclass, which stand in no text. The cells that have run
    # are in order, and the last one that defines the name is meant. (A file has a time.)
    for entry in reversed(list(linecache.cache.values())):
        lines = entry[2] if len(entry) == 4 and entry[1] is None else []
        for node in reversed(_classes(lines, value.__name__)):
            return _lines_of(node, lines)
    raise OSError


def _classes(lines: Sequence[str], name: str) -> list[ast.ClassDef]:
    try:
        tree = ast.parse("".join(lines))
    except SyntaxError:  # a cell of a magic command
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name]


def _lines_of(node: ast.ClassDef, lines: Sequence[str]) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return textwrap.dedent("".join(lines[first - 1 : node.end_lineno]))
