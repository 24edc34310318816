"""Edits that take classes away: of one object, and of one heir. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Action, Edit, walk
from harness.reduce.expressions import assign_without
from harness.reduce.index import Index, assign, instead
from harness.reduce.inline import arguments_of, body_of, replaced
from harness.reduce.names import BUILTINS

CALL, START = "__call__", "__init__"


def objects(module: cst.Module) -> Sequence[Edit]:
    """A class with one object gives way to functions and names: `self.x` is `x`.

    A statement that lies in no function makes the object. The body of `__init__` stands there. An
    object that is called becomes a function.
    """
    index = Index(module)
    changes: list[Edit] = []
    for node in module.body:
        if isinstance(node, cst.ClassDef) and not (node.bases or node.decorators):
            change = _flattened(index, node)
            if change is not None:
                changes.append(change)
    return changes


class _Made(NamedTuple):
    """The statement that makes the only object of a class."""

    line: cst.SimpleStatementLine
    call: cst.Call
    target: cst.Name | None
    """The name that it gets."""
    used: cst.Attribute | None
    """The parts that are taken of it at once."""
    is_called: bool
    """True if it is called at once."""
    at: int | None = None
    """Its number among several values that the statement assigns."""


def _made(index: Index, one: cst.ClassDef) -> _Made | None:
    """The only use of a class, where that makes an object of it."""
    uses = [n for n in index.names[one.name.value] if index.parents[n] is not one]
    if len(uses) != 1:
        return None
    call = index.parents[uses[0]]
    if not isinstance(call, cst.Call) or call.func is not uses[0]:
        return None
    line = index.statement(call)
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        return None
    small, around = line.body[0], index.parents[call]
    if around is small:
        if isinstance(small, cst.Expr):
            return _Made(line, call, None, None, False)
        if isinstance(small, cst.Assign) and len(small.targets) == 1:
            target = small.targets[0].target
            if isinstance(target, cst.Name):
                return _Made(line, call, target, None, False)
        return None
    if isinstance(around, cst.Element):
        return _made_beside(line, call, around)
    if isinstance(around, cst.Attribute):
        return _Made(line, call, None, around, False)
    if isinstance(around, cst.Call) and around.func is call:
        return _Made(line, call, None, None, True)
    return None


def _made_beside(
    line: cst.SimpleStatementLine, call: cst.Call, around: cst.Element
) -> _Made | None:
    """The object that is made where several names get their values."""
    match line.body:
        case [
            cst.Assign(
                targets=[cst.AssignTarget(target=cst.Tuple(elements=targets))],
                value=cst.Tuple(elements=values),
            )
        ] if len(targets) == len(values) and around in values:
            at = list(values).index(around)
            target = targets[at].value
            return (
                _Made(line, call, target, None, False, at) if isinstance(target, cst.Name) else None
            )
    return None


def _flattened(index: Index, one: cst.ClassDef) -> Edit | None:
    made = _made(index, one)
    if made is None or not isinstance(one.body, cst.IndentedBlock):
        return None
    methods = [part for part in one.body.body if isinstance(part, cst.FunctionDef)]
    others = [part for part in one.body.body if not isinstance(part, cst.FunctionDef)]
    if any(method.decorators or not method.params.params for method in methods):
        return None
    start = next((m for m in methods if m.name.value == START), None)
    plain = [m for m in methods if m is not start]
    bare = made.target is None and made.used is None and not made.is_called
    if not _at_top(index, made.line) and (plain or others or not bare):
        return None
    if any(m.name.value.startswith("__") and m.name.value != CALL for m in plain):
        return None
    called = _names(index, one, methods)
    called[CALL] = made.target.value if made.target is not None else _name_of_call(index, one)
    lines = _begun(start, made.call, called)
    if lines is None:
        return None
    change: dict[cst.CSTNode, Action] = {
        one: instead([*others, *(_function(m, called) for m in plain)]),
    }
    if made.used is not None or made.is_called:
        attr = made.used.attr.value if made.used is not None else CALL
        change[made.used or made.call] = edit.by(cst.Name(called.get(attr, attr)))
        change[made.line] = lambda line: cst.FlattenSentinel([*lines, line])
    elif made.at is not None:
        rest = assign_without(made.line.body[0], made.at)
        change[made.line] = instead([*lines, cst.SimpleStatementLine([rest])])
    else:
        change[made.line] = instead(lines)
    if made.target is None:
        return change
    for use in index.names[made.target.value]:
        around = index.parents[use]
        if use is made.target:
            continue
        if isinstance(around, cst.Attribute):
            attr = around.attr.value
            change[around] = edit.by(cst.Name(called.get(attr, attr)))
        elif all(m.name.value != CALL for m in plain):
            return None
    return change


def _begun(
    start: cst.FunctionDef | None, call: cst.Call, called: Mapping[str, str]
) -> list[Any] | None:
    """The statements of `__init__` as they stand where the object is made; None if they cannot."""
    if start is None:
        return []
    inner, given = body_of(start), arguments_of(_without_self(start), call, False)
    if inner is None or given is None:
        return None
    renamed = {key: value for key, value in given.items() if isinstance(value, cst.Name)}
    lines: list[Any] = [assign(cst.Name(k), v) for k, v in given.items() if k not in renamed]
    return [*lines, *(_own(replaced(line, renamed), start, called) for line in inner)]


def _name_of_call(index: Index, one: cst.ClassDef) -> str:
    """The name of the function that an object without a name becomes."""
    name = one.name.value.lower()
    return f"call_{name}" if name in index.names or name in BUILTINS else name


def _names(index: Index, one: cst.ClassDef, methods: Sequence[cst.FunctionDef]) -> dict[str, str]:
    """For each attribute that the methods set and whose name is another's as well, a new name."""
    set_here = {name for method in methods for name in _set_in(method)}
    return {
        name: f"{one.name.value.lower()}_{name}"
        for name in sorted(set_here)
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
    if method.name.value == CALL:
        plain = plain.with_changes(name=cst.Name(called[CALL]))
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

    def leave_Attribute(  # noqa: N802  # the name that libcst calls
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
