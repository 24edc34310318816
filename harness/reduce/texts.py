"""Edits of texts of several lines, such as the program of another process. Pure."""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from collections.abc import Sequence

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Edit, walk

QUOTES = ('"""', "'''")
JOINED = "\\\n"
"""The end of a line that goes on; after the quotes it lets a text begin with the next line."""


def dedented(module: cst.Module) -> Sequence[Edit]:
    """A call of `textwrap.dedent` gives way to the text that it makes."""
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Call(
                func=cst.Attribute(attr=cst.Name(value="dedent")) | cst.Name(value="dedent"),
                args=[cst.Arg(value=cst.SimpleString() as text)],
            ) if (lines := _lines(text)) is not None and _is_plain(text, lines):
                opened = _opened(text)
                plain = textwrap.dedent("\n".join(lines))
                changes.append({node: edit.by(cst.SimpleString(f"{opened}{plain}{opened[:3]}"))})
    return changes


def lines_of(module: cst.Module) -> list[tuple[cst.SimpleString, int]]:
    """Each line of each text of several lines: the text, and its number in it."""
    return [
        (node, number)
        for node in walk(module)
        if isinstance(node, cst.SimpleString)
        for number, line in enumerate(_lines(node) or ())
        if line.strip()
    ]


def without(lines: Sequence[tuple[cst.SimpleString, int]]) -> Edit:
    """The edit that takes these lines out of their texts."""
    gone: dict[cst.SimpleString, set[int]] = defaultdict(set)
    for node, number in lines:
        gone[node].add(number)
    return {node: edit.by(_left(node, numbers)) for node, numbers in gone.items()}


def _left(node: cst.SimpleString, gone: set[int]) -> cst.SimpleString:
    opened = _opened(node)
    left = [line for number, line in enumerate(_lines(node) or ()) if number not in gone]
    body = "\n".join(left)
    return node.with_changes(value=f"{opened}{body}{opened[:3]}")


def _lines(node: cst.SimpleString) -> list[str] | None:
    """The lines of a text in three quotes, as they are written; None of any other."""
    if not node.value.startswith(QUOTES):
        return None
    lines = node.value[len(_opened(node)) : -3].split("\n")
    # One that goes on would do so with another line; any other escape is a matter of its line.
    return lines if len(lines) > 1 and not any(one.endswith("\\") for one in lines) else None


def _opened(node: cst.SimpleString) -> str:
    """The white space before the first line of a text in three quotes."""
    joined = node.value.startswith(JOINED, 3)
    return node.value[: 3 + len(JOINED) * joined]


def _is_plain(node: cst.SimpleString, lines: Sequence[str]) -> bool:
    """True of a text without escapes: one may stand for the space before a line."""
    return bool(ast.literal_eval(node.value) == "\n".join(lines))
