"""The arguments of a command line as part of the program. Pure."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Sequence
from typing import Any

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Edit, walk

TYPES: dict[str, Any] = {"int": int, "float": float, "str": str}


def given(text: str, arguments: Sequence[str]) -> str:
    """`text` with `arguments` in it, so that it is run without any."""
    if not arguments:
        return text
    module = edit.parsed(text)
    lines = cst.parse_module(f"import sys\nsys.argv[1:] = {list(arguments)!r}\n").body
    at = 0
    for number, statement in enumerate(module.body):
        small = getattr(statement, "body", ())
        first = small[0] if isinstance(statement, cst.SimpleStatementLine) and small else None
        future = isinstance(first, cst.ImportFrom) and (
            isinstance(first.module, cst.Name) and first.module.value == "__future__"
        )
        doc = isinstance(first, cst.Expr) and isinstance(first.value, cst.BaseString)
        if not (future or (doc and number == 0)):
            break
        at = number + 1
    return module.with_changes(body=[*module.body[:at], *lines, *module.body[at:]]).code


def folded(module: cst.Module) -> Sequence[Edit]:
    """The values of argparse's arguments in place of their names: one edit, or none.

    The arguments are those of `sys.argv[1:] = [...]` in the program itself.
    """
    values = parsed(module)
    if not values:
        return []
    spaces = _namespaces(module)
    uses: dict[cst.CSTNode, edit.Action] = {}
    for node in walk(module):
        if (
            isinstance(node, cst.Attribute)
            and isinstance(node.value, cst.Name)
            and node.value.value in spaces
            and node.attr.value in values
        ):
            uses[node] = edit.by(cst.parse_expression(repr(values[node.attr.value])))
    return [uses] if uses else []


def parsed(module: cst.Module) -> dict[str, Any]:
    """The values of the arguments that the program declares with literals; else empty."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    declared = False
    for call in _calls(module, "add_argument"):
        words, options = _literal_call(call)
        if words is None:
            return {}
        kind = options.pop("type", None)
        if kind is not None:
            if kind not in TYPES:
                return {}
            options["type"] = TYPES[kind]
        options.pop("help", None)
        try:
            parser.add_argument(*words, **options)
        except (TypeError, ValueError, argparse.ArgumentError):
            return {}
        declared = True
    if not declared:
        return {}
    try:
        return vars(parser.parse_args(_argv(module)))
    except (argparse.ArgumentError, SystemExit, ValueError, TypeError):
        return {}


def _argv(module: cst.Module) -> list[str]:
    tree = ast.parse(module.code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "sys.argv[1:]":
            value = ast.literal_eval(node.value)
            return [str(word) for word in value]
    return []


def _calls(module: cst.Module, name: str) -> Iterator[cst.Call]:
    for node in walk(module):
        if (
            isinstance(node, cst.Call)
            and isinstance(node.func, cst.Attribute)
            and node.func.attr.value == name
        ):
            yield node


def _literal_call(call: cst.Call) -> tuple[list[Any] | None, dict[str, Any]]:
    """The arguments of a call, `type` by its name; None where one is no literal."""
    words: list[Any] = []
    options: dict[str, Any] = {}
    for arg in call.args:
        text = cst.Module([]).code_for_node(arg.value)
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            if arg.keyword is None or arg.keyword.value != "type":
                if arg.keyword is not None and arg.keyword.value == "help":
                    continue
                return None, {}
            value = text
        if arg.star:
            return None, {}
        if arg.keyword is None:
            words.append(value)
        else:
            options[arg.keyword.value] = value
    return words, options


def _namespaces(module: cst.Module) -> set[str]:
    """The names to which parsed arguments are assigned, also by the caller of a function."""
    found: set[str] = set()
    for node in walk(module):
        if isinstance(node, cst.Assign) and any(
            isinstance(one, cst.Attribute) and one.attr.value == "parse_args"
            for one in walk(node.value)
        ):
            found |= {t.target.value for t in node.targets if isinstance(t.target, cst.Name)}
    # A function that parses them and returns them: its caller's name for them.
    for node in walk(module):
        if isinstance(node, cst.FunctionDef) and any(
            isinstance(one, cst.Attribute) and one.attr.value == "parse_args"
            for one in walk(node.body)
        ):
            for other in walk(module):
                if (
                    isinstance(other, cst.Assign)
                    and isinstance(other.value, cst.Call)
                    and isinstance(other.value.func, cst.Name)
                    and other.value.func.value == node.name.value
                ):
                    found |= {
                        t.target.value for t in other.targets if isinstance(t.target, cst.Name)
                    }
    return found
