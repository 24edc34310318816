"""Edits that take classes away: of one object, and of one heir. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Action, Edit, walk
from harness.reduce.index import Index, assign, instead
from harness.reduce.inline import arguments_of, body_of, replaced
from harness.reduce.names import BUILTINS


def objects(module: cst.Module) -> Sequence[Edit]:
    """A class with one object gives way to functions and names: `self.x` is `x`.

    A statement that lies in no function makes the object. The body of `__init__` stands there.
    """
    index = Index(module)
    changes: list[Edit] = []
    for node in module.body:
        if isinstance(node, cst.ClassDef) and not (node.bases or node.decorators):
            change = _flattened(index, node)
            if change is not None:
                changes.append(change)
    return changes


def _flattened(index: Index, one: cst.ClassDef) -> Edit | None:
    uses = [n for n in index.names[one.name.value] if index.parents[n] is not one]
    if len(uses) != 1 or not isinstance(one.body, cst.IndentedBlock):
        return None
    call = index.parents[uses[0]]
    if not isinstance(call, cst.Call) or call.func is not uses[0]:
        return None
    made = index.statement(call)
    if not _at_top(index, made):
        return None
    small = made.body[0] if isinstance(made, cst.SimpleStatementLine) else None
    if not isinstance(small, cst.Assign | cst.Expr) or small.value is not call:
        return None
    methods: list[cst.FunctionDef] = []
    others: list[cst.BaseStatement] = []
    for part in one.body.body:
        if isinstance(part, cst.FunctionDef):
            if part.decorators or not part.params.params:
                return None
            methods.append(part)
        else:
            others.append(part)
    called = _names(index, one, methods)
    name = None
    if isinstance(small, cst.Assign):
        target = small.targets[0].target
        if not isinstance(target, cst.Name):
            return None
        name = target.value
    start = next((m for m in methods if m.name.value == "__init__"), None)
    lines: list[Any] = []
    if start is not None:
        inner, given = body_of(start), arguments_of(_without_self(start), call, False)
        if inner is None or given is None:
            return None
        renamed = {key: value for key, value in given.items() if isinstance(value, cst.Name)}
        lines = [assign(cst.Name(k), v) for k, v in given.items() if k not in renamed]
        lines += [_own(replaced(line, renamed), start, called) for line in inner]
    plain = [_function(m, called) for m in methods if m is not start]
    if any(m.name.value.startswith("__") for m in plain):
        return None
    change: dict[cst.CSTNode, Action] = {
        one: instead([*others, *plain]),
        made: instead(lines),
    }
    if name is not None:
        for use in index.names[name]:
            around = index.parents[use]
            if use is not small.targets[0].target:  # type: ignore[union-attr]
                if not isinstance(around, cst.Attribute):
                    return None
                attr = around.attr.value
                change[around] = edit.by(cst.Name(called.get(attr, attr)))
    return change


def _names(index: Index, one: cst.ClassDef, methods: Sequence[cst.FunctionDef]) -> dict[str, str]:
    """For each attribute that the methods set and whose name is another's as well, a new name."""
    set_here = {name for method in methods for name in _set_in(method)}
    return {
        name: f"{one.name.value.lower()}_{name}"
        for name in set_here
        if name in index.names or name in BUILTINS
    }


def _set_in(method: cst.FunctionDef) -> list[str]:
    """The attributes of its object that a method sets."""
    own = method.params.params[0].name.value
    found: dict[str, None] = {}
    for node in walk(method.body):
        match node:
            case (
                cst.AssignTarget(target=cst.Attribute(value=cst.Name(value=value)) as target)
                | cst.AugAssign(target=cst.Attribute(value=cst.Name(value=value)) as target)
                | cst.AnnAssign(target=cst.Attribute(value=cst.Name(value=value)) as target)
            ) if value == own:
                found[target.attr.value] = None
    return list(found)


def _function(method: cst.FunctionDef, called: Mapping[str, str]) -> cst.FunctionDef:
    """The method as a function of the module."""
    plain = cst.ensure_type(_own(_without_self(method), method, called), cst.FunctionDef)
    names = [called.get(name, name) for name in _set_in(method)]
    if not names or not isinstance(plain.body, cst.IndentedBlock):
        return plain
    line = cst.SimpleStatementLine([cst.Global([cst.NameItem(cst.Name(n)) for n in names])])
    return plain.with_changes(body=plain.body.with_changes(body=[line, *plain.body.body]))


def _at_top(index: Index, node: cst.CSTNode) -> bool:
    """True for a statement that lies in no function and no class."""
    at: cst.CSTNode | None = index.parents.get(node)
    while at is not None:
        if isinstance(at, cst.FunctionDef | cst.ClassDef | cst.Lambda):
            return False
        at = index.parents.get(at)
    return True


def _without_self(method: cst.FunctionDef) -> cst.FunctionDef:
    return method.with_changes(params=method.params.with_changes(params=method.params.params[1:]))


class _Own(cst.CSTTransformer):
    """Lets `self.x` be `x`."""

    def __init__(self, own: str, called: Mapping[str, str]) -> None:
        super().__init__()
        self._own = own
        self._called = called

    def leave_Attribute(  # noqa: N802
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        value = original_node.value
        if isinstance(value, cst.Name) and value.value == self._own:
            name = updated_node.attr.value
            return cst.Name(self._called.get(name, name))
        return updated_node


def _own(node: Any, method: cst.FunctionDef, called: Mapping[str, str]) -> Any:
    return node.visit(_Own(method.params.params[0].name.value, called))


def merged(module: cst.Module) -> Sequence[Edit]:
    """A class that is the base of one other class, and nothing else, becomes part of that one."""
    index = Index(module)
    classes = {n.name.value: n for n in walk(module) if isinstance(n, cst.ClassDef)}
    changes: list[Edit] = []
    for node in classes.values():
        for arg in node.bases:
            base = classes.get(arg.value.value) if isinstance(arg.value, cst.Name) else None
            if base is None or len(index.names[base.name.value]) != 2 or len(node.bases) != 1:
                continue
            own = {part.name.value for part in node.body.body if isinstance(part, cst.FunctionDef)}
            inherited = [
                part
                for part in base.body.body
                if not (isinstance(part, cst.FunctionDef) and part.name.value in own)
            ]
            changes.append({base: edit.remove, node: _with(base, inherited)})
    return changes


def _with(base: cst.ClassDef, inherited: Sequence[Any]) -> Action:
    def joined(node: Any) -> Any:
        inner = node.body.with_changes(body=[*inherited, *node.body.body])
        return node.with_changes(body=inner, bases=base.bases, lpar=base.lpar, rpar=base.rpar)

    return joined
