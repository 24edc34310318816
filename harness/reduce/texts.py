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


def dedented(module: cst.Module) -> Sequence[Edit]:
    """A call of `textwrap.dedent` gives way to the text that it makes."""
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Call(
                func=cst.Attribute(attr=cst.Name(value="dedent")) | cst.Name(value="dedent"),
                args=[cst.Arg(value=cst.SimpleString() as text)],
            ) if (lines := _lines(text)) is not None:
                quote = text.value[:3]
                plain = textwrap.dedent("\n".join(lines))
                changes.append({node: edit.by(cst.SimpleString(f"{quote}{plain}{quote}"))})
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
    quote = node.value[:3]
    left = [line for number, line in enumerate(_lines(node) or ()) if number not in gone]
    body = "\n".join(left)
    return node.with_changes(value=f"{quote}{body}{quote}")


def _lines(node: cst.SimpleString) -> list[str] | None:
    """The lines of a plain text in three quotes; None of any other."""
    if not node.value.startswith(QUOTES):
        return None
    body = node.value[3:-3]
    # An escape would change with the lines around it, as the one of a line that goes on.
    return body.split("\n") if "\n" in body and ast.literal_eval(node.value) == body else None
