"""Edits of settings: sizes, steps, types and optimizers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import libcst as cst
import libcst.matchers as m

from harness.reduce import edit
from harness.reduce.edit import Edit

SMALL = 2
PLAIN = {"bfloat16": "float32", "float16": "float32"}
OPTIMIZERS = ("AdamW", "Adam", "Adamax", "Lion", "Adafactor", "AdaDelta", "Adagrad", "RMSprop",
              "Muon")  # fmt: skip


def smaller(module: cst.Module) -> Sequence[Edit]:
    """Each whole number above 2 becomes 2, the same one everywhere: sizes must fit each other."""
    return _numbers(module, lambda value: SMALL if value > SMALL else value)


def _numbers(module: cst.Module, new: Callable[[int], int]) -> Sequence[Edit]:
    by_value: dict[int, list[cst.Integer]] = defaultdict(list)
    for node in walk(module):
        if isinstance(node, cst.Integer) and new(node.evaluated_value) != node.evaluated_value:
            by_value[node.evaluated_value].append(node)
    return [
        dict.fromkeys(nodes, edit.by(cst.Integer(str(new(value)))))
        for value, nodes in sorted(by_value.items(), reverse=True)
    ]


def plainer(module: cst.Module) -> Sequence[Edit]:
    """Half precision becomes float32, and each optimizer SGD; numbers become a quarter."""
    changes: list[Edit] = []
    for node in walk(module):
        if isinstance(node, cst.Attribute) and node.attr.value in PLAIN:
            changes.append({node.attr: edit.by(cst.Name(PLAIN[node.attr.value]))})
        elif m.matches(node, m.Call(func=m.Attribute(attr=m.Name()))):
            call = cst.ensure_type(node, cst.Call)
            name = cst.ensure_type(call.func, cst.Attribute).attr
            if name.value in OPTIMIZERS:
                kept = [a for a in call.args if a.keyword is None or
                        a.keyword.value == "learning_rate"][:1]  # fmt: skip
                changes.append({name: edit.by(cst.Name("SGD")), call: _with_arguments(kept)})
    return [*changes, *_numbers(module, lambda value: value // 4 if value >= 16 else value)]


def _with_arguments(kept: Sequence[cst.Arg]) -> edit.Action:
    return lambda call: call.with_changes(
        args=[arg.with_changes(comma=cst.MaybeSentinel.DEFAULT) for arg in kept]
    )


def propagated(module: cst.Module) -> Sequence[Edit]:
    """Each name and attribute that is only ever one literal becomes that literal."""
    changes: list[Edit] = []
    for name, (value, stores) in _literals(module).items():
        uses: dict[cst.CSTNode, edit.Action] = {}
        for node in walk(module):
            is_name = isinstance(node, cst.Name) and node.value == name
            is_attribute = isinstance(node, cst.Attribute) and node.attr.value == name
            if (is_name or is_attribute) and node not in stores.names:
                uses[node] = edit.by(value)
        if uses:
            changes.append({**uses, **dict.fromkeys(stores.statements, edit.remove)})
    return changes


class _Stores:
    def __init__(self) -> None:
        self.names: set[cst.CSTNode] = set()
        """Nodes that are the name itself where it is bound, or a keyword, or a parameter."""
        self.statements: list[cst.CSTNode] = []
        self.values: list[cst.BaseExpression] = []
        self.other = False


def _literals(module: cst.Module) -> dict[str, tuple[cst.BaseExpression, _Stores]]:
    """Each name that one statement binds, to a literal."""
    stores: dict[str, _Stores] = defaultdict(_Stores)
    for node in walk(module):
        match node:
            case cst.Assign(targets=[cst.AssignTarget(target=target)], value=value):
                _store(stores, target, node, value)
            case cst.AnnAssign(target=target, value=value) if value is not None:
                _store(stores, target, node, value)
            case cst.Param(name=name) | cst.FunctionDef(name=name) | cst.ClassDef(name=name):
                stores[name.value].other = True
            case cst.Arg(keyword=cst.Name(value=name)):
                stores[name].other = True
            case cst.AugAssign(target=target) | cst.For(target=target) | cst.CompFor(target=target):
                for name in _names(target):
                    stores[name].other = True
            case cst.AssignTarget(target=target):
                if not isinstance(target, cst.Name | cst.Attribute):
                    for name in _names(target):
                        stores[name].other = True
            case cst.AsName(name=target) | cst.NamedExpr(target=target):
                for name in _names(target):
                    stores[name].other = True
            case cst.Global() | cst.Nonlocal():
                for item in node.names:
                    stores[item.name.value].other = True
            case cst.ImportAlias():
                for name in _names(node):
                    stores[name].other = True
            case cst.Del():
                for name in _names(node):
                    stores[name].other = True
    return {
        name: (one.values[0], one)
        for name, one in stores.items()
        if len(one.values) == 1 and not one.other and is_literal(one.values[0])
    }


def _store(
    stores: dict[str, _Stores], target: Any, statement: cst.CSTNode, value: cst.BaseExpression
) -> None:
    if isinstance(target, cst.Name):
        one, name = stores[target.value], target
    elif isinstance(target, cst.Attribute):
        one, name = stores[target.attr.value], target.attr
    else:
        for bound in _names(target):
            stores[bound].other = True
        return
    one.names |= {target, name}
    one.statements.append(statement)
    one.values.append(value)


def is_literal(node: cst.CSTNode) -> bool:
    """True for a number, a plain string, True, False and None."""
    if isinstance(node, cst.UnaryOperation):
        return isinstance(node.expression, cst.Integer | cst.Float)
    if isinstance(node, cst.Name):
        return node.value in ("True", "False", "None")
    return isinstance(node, cst.Integer | cst.Float | cst.SimpleString)


def _names(node: cst.CSTNode) -> Iterator[str]:
    for one in walk(node):
        if isinstance(one, cst.Name):
            yield one.value


def walk(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """`node` and all that lies in it, from the outside on."""
    yield node
    for child in node.children:
        yield from walk(child)
