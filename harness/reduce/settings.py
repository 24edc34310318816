"""Edits of settings: sizes, steps, types and optimizers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import libcst as cst
import libcst.matchers as m

from harness.reduce import edit
from harness.reduce.edit import Edit, walk

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
    for key, one in _stores(module).items():
        value = one.literal()
        if value is None:
            continue
        kind, name = key
        uses: dict[cst.CSTNode, edit.Action] = {
            node: edit.by(value)
            for node in walk(module)
            if node not in one.nodes
            and (
                (kind == NAME and isinstance(node, cst.Name) and node.value == name)
                or (
                    kind == ATTRIBUTE
                    and isinstance(node, cst.Attribute)
                    and node.attr.value == name
                )
            )
        }
        if uses:
            changes.append({**uses, **dict.fromkeys(one.statements, edit.remove)})
    return changes


NAME, ATTRIBUTE = "name", "attribute"


class _Stores:
    """All that binds one name or attribute."""

    def __init__(self) -> None:
        self.nodes: set[cst.CSTNode] = set()
        """The places where it is bound: these are no uses."""
        self.statements: list[cst.CSTNode] = []
        self.values: list[cst.BaseExpression] = []
        self.given: list[cst.BaseExpression] = []
        """The values that calls give for an attribute by its name, such as to a dataclass."""
        self.other = False
        """True if it is bound to what is no literal."""

    def literal(self) -> cst.BaseExpression | None:
        values = self.given or self.values
        single = len(values) == 1 and len(self.values) <= 1 and not self.other
        return values[0] if single and is_literal(values[0]) else None


def _stores(module: cst.Module) -> dict[tuple[str, str], _Stores]:
    stores: dict[tuple[str, str], _Stores] = defaultdict(_Stores)
    of_classes = {
        small
        for node in walk(module)
        if isinstance(node, cst.ClassDef)
        for line in node.body.body
        if isinstance(line, cst.SimpleStatementLine)
        for small in line.body
    }

    def other(node: cst.CSTNode | None) -> None:
        for one in walk(node) if node is not None else ():
            if isinstance(one, cst.Name):
                for kind in (NAME, ATTRIBUTE):
                    stores[kind, one.value].other |= kind == NAME or isinstance(node, cst.Attribute)
                    stores[kind, one.value].nodes.add(one)

    for node in walk(module):
        match node:
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Tuple(elements=names))],
                value=cst.Tuple(elements=values),
            ) if len(names) == len(values) and all(isinstance(n.value, cst.Name) for n in names):
                for name, given in zip(names, values, strict=True):
                    one = stores[NAME, cst.ensure_type(name.value, cst.Name).value]
                    one.nodes.add(name.value)
                    one.values.append(given.value)
            case cst.Assign(targets=[cst.AssignTarget(target=target)], value=value):
                _store(stores, target, node, value, node in of_classes, other)
            case cst.AnnAssign(target=target, value=value):
                if value is not None:
                    _store(stores, target, node, value, node in of_classes, other)
                other(node.annotation.annotation)
            case cst.Assign():
                for bound in node.targets:
                    other(bound.target)
            case cst.Arg(keyword=cst.Name() as keyword):
                stores[ATTRIBUTE, keyword.value].given.append(node.value)
                stores[ATTRIBUTE, keyword.value].statements.append(node)
                stores[NAME, keyword.value].nodes.add(keyword)
            case cst.Param() | cst.FunctionDef() | cst.ClassDef():
                other(node.name)
                if not isinstance(node, cst.Param):
                    stores[ATTRIBUTE, node.name.value].other = True
            case cst.AugAssign(target=target) | cst.For(target=target) | cst.CompFor(target=target):
                other(target)
            case cst.AsName(name=target) | cst.NamedExpr(target=target):
                other(target)
            case cst.Global() | cst.Nonlocal() | cst.ImportAlias() | cst.Del():
                other(node)
            case cst.Attribute():
                stores[NAME, node.attr.value].nodes.add(node.attr)
    return stores


def _store(
    stores: dict[tuple[str, str], _Stores], target: Any, statement: cst.CSTNode,
    value: cst.BaseExpression, of_class: bool, other: Callable[[cst.CSTNode], None],
) -> None:  # fmt: skip
    if isinstance(target, cst.Name):
        one = stores[ATTRIBUTE if of_class else NAME, target.value]
    elif isinstance(target, cst.Attribute):
        one = stores[ATTRIBUTE, target.attr.value]
    else:
        other(target)
        return
    one.nodes.add(target)
    one.statements.append(statement)
    one.values.append(value)


def is_literal(node: cst.CSTNode) -> bool:
    """True for a number, a plain string, True, False and None."""
    if isinstance(node, cst.UnaryOperation):
        return isinstance(node.expression, cst.Integer | cst.Float)
    if isinstance(node, cst.Name):
        return node.value in ("True", "False", "None")
    return isinstance(node, cst.Integer | cst.Float | cst.SimpleString)
