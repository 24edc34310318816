"""Edits of a syntax tree: each names a node and what becomes of it. Pure."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

import libcst as cst

Result = Any
"""A node, or one of the sentinels of libcst for none or several."""
Action = Callable[[Any], Result]
"""Given the node with what lies in it already edited; returns what stands in its place."""
Edit = Mapping[cst.CSTNode, Action]
"""The nodes that change together."""


def remove(_: Any) -> Result:
    return cst.RemoveFromParent()


def nothing(node: Any) -> Result:
    """None in place of the value of an argument or an element."""
    return node.with_changes(value=cst.Name("None"))


def by(node: cst.CSTNode) -> Action:
    """The action that puts `node` in place of another one."""
    return lambda _: node


def parsed(text: str) -> cst.Module:
    """The tree of `text`. Raises SyntaxError when libcst or Python cannot read it."""
    try:
        return cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        raise SyntaxError(error.message, ("program", error.raw_line, 0, "")) from error


@functools.cache
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    return tuple(one.name for one in dataclasses.fields(kind))


def children(node: cst.CSTNode) -> list[cst.CSTNode]:
    """The nodes in `node`. libcst's own way to them visits each, and takes ten times as long."""
    found: list[cst.CSTNode] = []
    for name in _fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [one for one in value if isinstance(one, cst.CSTNode)]
    return found


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """`node` and all that lies in it, from the outside on."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(children(node))


@functools.lru_cache(maxsize=2)
def parents(module: cst.Module) -> Mapping[cst.CSTNode, cst.CSTNode]:
    """For each node of a module, the one around it."""
    found: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in walk(module):
        found.update(dict.fromkeys(children(node), node))
    return found


def _around(module: cst.Module, nodes: Iterable[cst.CSTNode]) -> set[cst.CSTNode]:
    """`nodes`, and all that they lie in."""
    above = parents(module)
    found: set[cst.CSTNode] = set()
    for node in nodes:
        at: cst.CSTNode | None = node
        while at is not None and at not in found:
            found.add(at)
            at = above.get(at)
    return found


def applied(module: cst.Module, edits: Iterable[Edit]) -> str | None:
    """The text after `edits`; None when that is no program.

    Of two edits of one node, the first one counts. One inside of what another one drops is void.
    """
    actions: dict[cst.CSTNode, Action] = {}
    for edit in edits:
        for node, action in edit.items():
            actions.setdefault(node, action)
    try:
        edited = module.visit(_Editor(actions, _around(module, actions)))
        assert isinstance(edited, cst.Module)
        text = edited.code
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of a call of None
            compile(text, "program", "exec", dont_inherit=True)
    except (
        cst.CSTValidationError, SyntaxError, ValueError, TypeError, AttributeError, RecursionError
    ):  # fmt: skip
        return None  # libcst checks some nodes where they are made, and misses parts of others
    return text


class _Editor(cst.CSTTransformer):
    """Applies actions, and keeps what is left a program: no block is empty, no list ends wrong."""

    def __init__(self, actions: dict[cst.CSTNode, Action], around: Set[cst.CSTNode]) -> None:
        """`around` are the nodes with an action, and those that have one in them."""
        super().__init__()
        self._actions = actions
        self._around = around

    def on_visit(self, node: cst.CSTNode) -> bool:
        if node not in self._around:
            return False
        kept = kept_names(node, self._actions)
        if kept is not None and self._actions.get(node) is not remove:
            # libcst refuses a comma at the end before anybody could take it away.
            self._actions[node] = by(node.with_changes(names=_ended(kept))) if kept else remove
            return False
        return self._actions.get(node) is not remove

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        if not isinstance(updated_node, cst.CSTNode) or original_node not in self._around:
            return updated_node
        updated = whole(updated_node)
        action = self._actions.get(original_node)
        if action is None or not isinstance(updated, cst.CSTNode):
            return updated
        return action(updated)


def kept_names(
    node: cst.CSTNode, actions: Mapping[cst.CSTNode, Action]
) -> list[cst.ImportAlias] | None:
    """The rest of an import that loses a part; None where it loses none."""
    if not isinstance(node, cst.Import | cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
        return None
    kept = [alias for alias in node.names if actions.get(alias) is not remove]
    return kept if len(kept) < len(node.names) else None


def whole(node: cst.CSTNode) -> Any:
    if isinstance(node, cst.SimpleStatementLine):
        return node if node.body else cst.RemoveFromParent()
    if isinstance(node, cst.IndentedBlock) and not node.body:
        return node.with_changes(body=[cst.SimpleStatementLine([cst.Pass()])])
    if isinstance(node, cst.SimpleStatementSuite) and not node.body:
        return node.with_changes(body=[cst.Pass()])
    if isinstance(node, cst.Try | cst.TryStar) and not (node.handlers or node.finalbody):
        return cst.FlattenSentinel(node.body.body) if isinstance(
            node.body, cst.IndentedBlock) else node  # fmt: skip
    if isinstance(node, cst.With):
        if not node.items:
            return node
        return node.with_changes(items=_ended(node.items))
    if isinstance(node, cst.Parameters):
        return node.with_changes(
            params=_ended(node.params), kwonly_params=_ended(node.kwonly_params)
        )
    if isinstance(node, cst.Call):
        return node.with_changes(args=_ended(node.args))
    return node


def _ended(nodes: Any) -> Any:
    """The elements of a list whose last one has no comma."""
    if not nodes or not isinstance(nodes[-1].comma, cst.Comma):
        return nodes
    return [*nodes[:-1], nodes[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)]
