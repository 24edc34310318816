"""What is always the same while a program runs becomes that literal, or the name that it has. Pure.

A program that notes the values of its expressions is run once. Then each one with a single value
may give way to it: a number or a text as a literal, any other thing by its name in the module.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import libcst as cst

from harness.reduce import edit, names
from harness.reduce.edit import Edit, walk
from harness.reduce.index import grouped
from harness.reduce.settings import is_literal

NOTE = "harness: value"
"""The beginning of a line of standard error that notes a value."""
NAMED = "="
"""The beginning of what is noted of a thing that has a name in the module."""
LONGEST = 30
"""The characters of a value at most."""
_NOTING = f"""
def _noted(number, value, known={{}}):
    import sys
    kinds = (int, float, bool, str, type(None))
    some = value if type(value) in (list, tuple) and len(value) < 5 else [value]
    if all(type(one) in kinds for one in some):
        text = repr(value)
    else:
        names = [name for name, one in list(globals().items()) if one is value]
        text = f"{NAMED}{{names[0]}}" if names else "?"
    text = text if len(text) <= {LONGEST} and known.get(number, text) == text else "?"
    if known.get(number) != text:
        known[number] = text
        print(f"\\n{NOTE} {{number}} {{text}}", file=sys.stderr, flush=True)
    return value
"""


def noting(text: str) -> str | None:
    """`text` as a program that notes its values; None where it cannot be made one."""
    module = edit.parsed(text)
    edits: dict[cst.CSTNode, edit.Action] = {
        node: _wrapped(number) for number, node in enumerate(_spots(module))
    }
    noted = edit.applied(module, [edits])
    if noted is None:
        return None
    after = _after_future(ast.parse(noted))
    lines = noted.splitlines()
    return "\n".join([*lines[:after], _NOTING, *lines[after:]]) + "\n"


def _after_future(tree: ast.Module) -> int:
    """The number of lines that must stay the first ones."""
    last = 0
    for node in tree.body:
        doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not (doc or (isinstance(node, ast.ImportFrom) and node.module == "__future__")):
            break
        last = node.end_lineno or last
    return last


def _wrapped(number: int) -> edit.Action:
    def call(node: Any) -> cst.Call:
        given = [cst.Integer(str(number)), grouped(node)]
        return cst.Call(cst.Name("_noted"), [cst.Arg(one) for one in given])

    return call


def _spots(module: cst.Module) -> list[cst.BaseExpression]:
    """The expressions that may be literals, in their order."""
    found: list[cst.BaseExpression] = []
    targets: set[cst.CSTNode] = set()
    modules = {names.alias_name(node) for node in walk(module) if isinstance(node, cst.ImportAlias)}
    for node in walk(module):
        match node:
            case (
                cst.AssignTarget(target=target)
                | cst.For(target=target)
                | cst.CompFor(target=target)
                | cst.AsName(name=target)
                | cst.Del(target=target)
            ):
                targets.update(one for one in walk(target) if isinstance(one, cst.Element))
        match node:
            case (
                cst.Assign(value=value)
                | cst.Arg(value=value, star="")
                | cst.Return(value=value)
                | cst.Index(value=value)
                | cst.Element(value=value)
                | cst.If(test=value)
                | cst.While(test=value)
                | cst.ComparisonTarget(comparator=value)
                | cst.For(iter=value)
                | cst.Call(func=value)
            ) if value is not None and node not in targets and _may_be(value, modules):
                found.append(value)
    return found


def _may_be(value: cst.BaseExpression, modules: Set[str]) -> bool:
    """False for what is plain already, and for a constant or function of a module by its name."""
    match value:
        case cst.Attribute(value=cst.Name(value=name)) if name in modules:
            return False
        case cst.Name(value="super" | "locals" | "globals"):
            return False
    kinds = cst.BaseString | cst.Lambda | cst.Yield | cst.BaseComp | cst.BaseList | cst.BaseDict
    return not (is_literal(value) or isinstance(value, kinds))


def notes(printed: str) -> dict[int, str]:
    """The value of each expression that always had the same one, from what was printed."""
    found: dict[int, str] = {}
    for line in re.finditer(rf"^{NOTE} (\d+) (.*)$", printed, re.M):
        found[int(line[1])] = line[2]
    return {number: value for number, value in found.items() if _is_value(value)}


def _is_value(text: str) -> bool:
    if text.startswith(NAMED):
        return text[len(NAMED) :].isidentifier()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    some = value if isinstance(value, list | tuple) else [value]
    return all(
        not (isinstance(one, float) and not math.isfinite(one)) and not _is_path(one)
        for one in some
    )


def _is_path(value: object) -> bool:
    """True for the path of a file of this machine: another one has it elsewhere."""
    return isinstance(value, str) and Path(value).is_absolute()


def constants(values: Mapping[int, str]) -> Any:
    """The maker of the edits that put `values` in the place of the expressions that had them."""

    def made(module: cst.Module) -> Sequence[Edit]:
        spots = _spots(module)
        return [
            {spots[number]: edit.by(cst.parse_expression(text.removeprefix(NAMED)))}
            for number, text in values.items()
            if number < len(spots)
        ]

    return made
