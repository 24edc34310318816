"""The scenarios that `-k` and `--skip` choose."""

from __future__ import annotations

import argparse
import ast
import difflib
from collections.abc import Sequence

from harness.errors import UsageError
from harness.model import ScenarioInfo


def expression(text: str) -> ast.expr:
    """Words with `and`, `or`, `not` and parentheses, for argparse."""
    try:
        parsed = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        parsed = None
    if parsed is None or not _is_valid(parsed):
        raise argparse.ArgumentTypeError(
            f"cannot use the expression {text}; "
            "join parts of names with and, or, not and parentheses"
        )
    return parsed


def _is_valid(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(map(_is_valid, node.values))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not) and _is_valid(node.operand)
    return isinstance(node, ast.Name)


def matches(node: ast.expr, name: str) -> bool:
    """True if `name` has the parts that the expression asks for."""
    if isinstance(node, ast.BoolOp):
        results = [matches(value, name) for value in node.values]
        return all(results) if isinstance(node.op, ast.And) else any(results)
    if isinstance(node, ast.UnaryOp):
        return not matches(node.operand, name)
    assert isinstance(node, ast.Name)
    return node.id.lower() in name.lower()


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them, for argparse."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def choose(
    infos: Sequence[ScenarioInfo], wanted: ast.expr | None, skipped: Sequence[str]
) -> list[ScenarioInfo]:
    """The scenarios of `infos` that `wanted` chooses, without those that are `skipped`.

    Raises UsageError when none is left, or when a skipped one does not exist.
    """
    known = [info.name for info in infos]
    for name in skipped:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(known)}"
            raise UsageError(f"--skip: there is no scenario {name} to skip; {hint}")
    chosen = [
        info
        for info in infos
        if info.name not in skipped and (wanted is None or matches(wanted, info.name))
    ]
    if not chosen:
        raise UsageError("-k and --skip leave no scenario; choose others")
    return chosen
