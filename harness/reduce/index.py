"""The nodes of a module by what they name, and forms of new nodes. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Action, walk


class Index:
    """The nodes of a module by what they name."""

    def __init__(self, module: cst.Module) -> None:
        self.names: dict[str, list[cst.Name]] = defaultdict(list)
        """Of plain names: no attributes, and no keywords of arguments."""
        self.attributes: dict[str, list[cst.Attribute]] = defaultdict(list)
        self.functions: dict[str, list[cst.FunctionDef]] = defaultdict(list)
        self.parents = edit.parents(module)
        others: set[cst.CSTNode] = set()
        for node in walk(module):
            match node:
                case cst.Attribute():
                    self.attributes[node.attr.value].append(node)
                    others.add(node.attr)
                case cst.Arg(keyword=cst.Name() as keyword):
                    others.add(keyword)
                case cst.FunctionDef():
                    self.functions[node.name.value].append(node)
                case cst.Name() if node not in others:
                    self.names[node.value].append(node)

    def statement(self, node: cst.CSTNode) -> cst.CSTNode:
        """The statement, on lines of its own, that `node` lies in."""
        while not isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            node = self.parents[node]
        return node

    def around(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """The innermost function whose body or parameters have `node`."""
        inner, at = node, self.parents.get(node)
        while at is not None:
            if isinstance(at, cst.FunctionDef) and inner is not at.name:
                return at
            inner, at = at, self.parents.get(at)
        return None

    def same(self, target: cst.Name) -> list[cst.Name]:
        """The names that may be the variable that `target` binds: those in its function, or all."""
        every = self.names[target.value]
        function = self.around(target)
        if function is None or any(
            isinstance(self.parents[node], cst.NameItem) for node in every
        ):  # of global and nonlocal
            return every
        return [node for node in every if self._is_in(node, function)]

    def _is_in(self, node: cst.CSTNode, function: cst.FunctionDef) -> bool:
        at = self.around(node)
        while at is not None and at is not function:
            at = self.around(at)
        return at is not None

    def function(self, name: str) -> cst.FunctionDef | None:
        """The only function of that name."""
        found = self.functions[name]
        return found[0] if len(found) == 1 else None


def assign(target: Any, value: cst.BaseExpression) -> cst.SimpleStatementLine:
    """`target = value` as a line."""
    return cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(target)], value)])


def grouped(value: cst.BaseExpression) -> cst.BaseExpression:
    """`value` as it can stand in an expression."""
    closed = cst.Name | cst.Call | cst.Attribute | cst.Subscript | cst.Integer | cst.Float
    lists = cst.List | cst.ListComp | cst.Dict | cst.Set
    if isinstance(value, closed | lists | cst.SimpleString) or value.lpar:
        return value
    return value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def instead(lines: Sequence[Any]) -> Action:
    """The action that puts these statements in the place of one."""
    return lambda _: cst.FlattenSentinel(lines) if lines else cst.RemoveFromParent()


def code(node: cst.CSTNode) -> str:
    """The text of a node."""
    return cst.Module([]).code_for_node(node)


def is_script(statement: cst.CSTNode) -> bool:
    """True for `if __name__ == "__main__":`."""
    return isinstance(statement, cst.If) and any(
        isinstance(node, cst.Name) and node.value == "__name__" for node in walk(statement.test)
    )
