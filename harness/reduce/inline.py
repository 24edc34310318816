"""Edits that put what is used once in the place of its use: functions, methods, names.

They look at names alone, not at scopes or effects: what they get wrong costs a try. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Edit, walk
from harness.reduce.index import Index, assign, code, grouped, instead
from harness.reduce.names import parameters
from harness.reduce.settings import is_literal

LONGEST = 84
"""The characters of a line that is made longer, at most, without its indentation."""


def functions(module: cst.Module) -> Sequence[Edit]:
    """A function or method that is called once gives way to its body there."""
    index = Index(module)
    changes: list[Edit] = []
    for name in list(index.functions):
        function = index.function(name)
        if function is None or function.decorators:
            continue
        of_class = isinstance(index.parents.get(index.parents[function]), cst.ClassDef)
        calls = _calls(index, name, of_class)
        if len(calls) == 1:
            changes += _called(index, function, calls[0], of_class)
    return changes


def targets(module: cst.Module) -> Sequence[Edit]:
    """A function that only a thread or process runs takes what it is given by name.

    One that only calls another function gives way to that one.
    """
    index = Index(module)
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Arg(keyword=cst.Name(value="target"), value=cst.Name(value=name) as use):
                function = index.function(name)
                if function is None or len(index.names[name]) != 2 or function.decorators:
                    continue
                call = cst.ensure_type(index.parents[node], cst.Call)
                handed = [a for a in call.args if a.keyword and a.keyword.value == "args"]
                if handed and (change := _handed(function, handed[0])):
                    changes.append(change)
                called = _only_calls(function)
                if called is not None and not function.params.params:
                    changes.append({function: edit.remove, use: edit.by(called)})
    return changes


def _handed(function: cst.FunctionDef, args: cst.Arg) -> Edit | None:
    """The function with what is handed to it in the place of its parameters."""
    if not isinstance(args.value, cst.Tuple | cst.List):
        return None
    values = [one.value for one in args.value.elements]
    params = function.params.params
    if len(values) != len(params) or not all(isinstance(v, cst.Name) or is_literal(v)
                                             for v in values):  # fmt: skip
        return None
    given = {one.name.value: value for one, value in zip(params, values, strict=True)}
    body = replaced(function.body, given)
    bare = function.with_changes(body=body, params=function.params.with_changes(params=[]))
    return {function: edit.by(bare), args: edit.remove}


def _only_calls(function: cst.FunctionDef) -> cst.BaseExpression | None:
    """The function that is all that `function` calls, without an argument."""
    match function.body:
        case cst.IndentedBlock(
            body=[cst.SimpleStatementLine(body=[cst.Expr(value=cst.Call(func=called, args=[]))])]
        ):
            return called
    return None


def _calls(index: Index, name: str, of_class: bool) -> list[cst.Call]:
    """All uses of a function, if each of them is a call; else none."""
    used: Sequence[cst.CSTNode] = (
        index.attributes[name]
        if of_class
        else [n for n in index.names[name] if not isinstance(index.parents[n], cst.FunctionDef)]
    )
    found = []
    for node in used:
        call = index.parents[node]
        if not (isinstance(call, cst.Call) and call.func is node):
            return []
        found.append(call)
    return found


def _called(index: Index, function: cst.FunctionDef, call: cst.Call, of_class: bool) -> list[Edit]:
    """The edit for the only call of `function`; none where it cannot stand there."""
    inner = body_of(function)
    given = arguments_of(function, call, of_class)
    if inner is None or given is None:
        return []
    outer: cst.CSTNode = call
    if function.asynchronous is not None:
        outer = index.parents[call]
        if not isinstance(outer, cst.Await):
            return []
    renamed = {name: value for name, value in given.items() if isinstance(value, cst.Name)}
    lines: list[Any] = [
        assign(cst.Name(name), value) for name, value in given.items() if name not in renamed
    ]
    lines += [replaced(line, renamed) for line in inner]
    value = _returned(lines)
    if value is not None:
        lines = lines[:-1]
        if not lines:
            if _is_too_long(index, call, value):
                return []
            return [{function: edit.remove, outer: edit.by(grouped(value))}]
    statement = index.statement(call)
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return []
    small = statement.body[0]
    if not isinstance(small, cst.Expr | cst.Assign | cst.Return) or small.value is not outer:
        return []
    if value is not None:
        last = small.with_changes(value=value)
        lines.append(cst.SimpleStatementLine([last]))
    elif not isinstance(small, cst.Expr):
        return []
    return [{function: edit.remove, statement: instead(lines)}]


def body_of(function: cst.FunctionDef) -> Sequence[cst.BaseStatement] | None:
    """The statements of a function; None where they cannot stand elsewhere."""
    if not isinstance(function.body, cst.IndentedBlock) or not function.body.body:
        return None
    if function.params.star_kwarg or isinstance(function.params.star_arg, cst.Param):
        return None
    last = function.body.body[-1]
    for node in walk(function.body):
        if isinstance(node, cst.Yield | cst.Nonlocal | cst.Global):
            return None
        if isinstance(node, cst.Return) and not (
            isinstance(last, cst.SimpleStatementLine) and node is last.body[-1]
        ):
            return None
        if isinstance(node, cst.Name) and node.value == "super":
            return None
    return function.body.body


def _returned(lines: Sequence[cst.BaseStatement]) -> cst.BaseExpression | None:
    last = lines[-1]
    if isinstance(last, cst.SimpleStatementLine) and len(last.body) == 1:
        small = last.body[0]
        if isinstance(small, cst.Return):
            return small.value or cst.Name("None")
    return None


def arguments_of(
    function: cst.FunctionDef, call: cst.Call, of_class: bool
) -> dict[str, cst.BaseExpression] | None:
    """The value of each parameter in a call, the object of a method first; None if not known."""
    if any(arg.star for arg in call.args):
        return None
    names = [one.name.value for one in parameters(function.params)]
    values: list[cst.BaseExpression] = [a.value for a in call.args if a.keyword is None]
    if of_class:
        if not isinstance(call.func, cst.Attribute) or not isinstance(call.func.value, cst.Name):
            return None
        values.insert(0, call.func.value)
    if len(values) > len(names):
        return None
    found = dict(zip(names, values, strict=False))
    found |= {a.keyword.value: a.value for a in call.args if a.keyword is not None}
    for one in parameters(function.params):
        if one.name.value not in found:
            if one.default is None:
                return None
            found[one.name.value] = one.default
    return found if set(found) == set(names) else None


class _Replacer(cst.CSTTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, values: Mapping[str, cst.BaseExpression]) -> None:
        super().__init__()
        self._values = values

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        if isinstance(original_node, cst.Attribute):
            return updated_node.with_changes(attr=original_node.attr)
        if isinstance(original_node, cst.Arg):
            return updated_node.with_changes(keyword=original_node.keyword)
        if isinstance(original_node, cst.Name) and original_node.value in self._values:
            return self._values[original_node.value].deep_clone()
        return updated_node


def replaced(node: Any, values: Mapping[str, cst.BaseExpression]) -> Any:
    """`node` with expressions in the place of names."""
    return node.visit(_Replacer(values)) if values else node


def single_uses(module: cst.Module) -> Sequence[Edit]:
    """What is assigned to a name that is used once stands there instead."""
    index = Index(module)
    changes: list[Edit] = []
    for line in walk(module):
        match line:
            case cst.SimpleStatementLine(
                body=[
                    cst.Assign(
                        targets=[cst.AssignTarget(target=cst.Name(value=name) as target)],
                        value=value,
                    )
                ]
            ) if len(index.names[name]) > 1:
                same = index.same(target)
                if len(same) != 2:
                    continue
                use = next(node for node in same if node is not target)
                if any(node is use for node in walk(line)):
                    continue
                if not _is_too_long(index, use, value):
                    changes.append({line: edit.remove, use: edit.by(grouped(value))})
    return changes


def _is_too_long(index: Index, use: cst.CSTNode, value: cst.BaseExpression) -> bool:
    """True if the line of `use` would be too long with `value` in it."""
    line = index.statement(use)
    simple = isinstance(line, cst.SimpleStatementLine)
    return simple and len(code(line).strip()) + len(code(value)) > LONGEST


def unpacked(module: cst.Module) -> Sequence[Edit]:
    """What is assigned and never used is only computed; a subscript of a literal gives its value.

    The literal is one that a name always stands for.
    """
    index = Index(module)
    tables = _tables(module)
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Assign(targets=[cst.AssignTarget(target=target)], value=value):
                bound = [one for one in walk(target) if isinstance(one, cst.Name)]
                plain = isinstance(target, cst.Name | cst.Tuple)
                if plain and all(len(index.same(one)) == 1 for one in bound):
                    changes.append({node: edit.by(cst.Expr(value))})
            case cst.Subscript(
                value=cst.Name(value=name),
                slice=[cst.SubscriptElement(slice=cst.Index(value=key))],
            ) if name in tables:
                found = tables[name].get(code(key))
                if found is not None:
                    changes.append({node: edit.by(found)})
    return changes


def _tables(module: cst.Module) -> dict[str, dict[str, cst.BaseExpression]]:
    """The values of each dictionary of literals that has a name of its own, by the code of keys."""
    found: dict[str, dict[str, cst.BaseExpression]] = {}
    for node in walk(module):
        match node:
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Dict() as table
            ):
                found[name] = {
                    code(one.key): one.value
                    for one in table.elements
                    if isinstance(one, cst.DictElement) and is_literal(one.value)
                }
    return found


def aliases(module: cst.Module) -> Sequence[Edit]:
    """A name that is only ever another name gives way to that one."""
    index = Index(module)
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Name(value=name) as target)],
                value=cst.Name() as value,
            ) if not is_literal(value) and value.value != name:
                changes += _alias(index, node, [(target, value)])
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Tuple(elements=targets))],
                value=cst.Tuple(elements=values),
            ) if len(targets) == len(values):
                pairs = [(t.value, v.value) for t, v in zip(targets, values, strict=True)]
                if all(isinstance(one, cst.Name) for pair in pairs for one in pair):
                    changes += _alias(index, node, pairs)
    return changes


def _alias(index: Index, statement: cst.Assign, pairs: Sequence[tuple[Any, Any]]) -> Sequence[Edit]:
    """The edit that puts the second name of each pair in the place of the first; or none."""
    change: dict[cst.CSTNode, edit.Action] = {statement: edit.remove}
    for target, value in pairs:
        uses = [n for n in index.names[target.value] if n is not target]
        if any(_binds(index, use) for use in uses):
            return []
        change.update(dict.fromkeys(uses, edit.by(value)))
    return [change]


def _binds(index: Index, name: cst.Name) -> bool:
    around = index.parents[name]
    return isinstance(
        around, cst.AssignTarget | cst.Param | cst.AugAssign | cst.For | cst.FunctionDef
    )
