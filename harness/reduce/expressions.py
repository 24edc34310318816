"""Edits of prose, blocks, calls and expressions. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import libcst as cst

from harness.reduce import edit, loops
from harness.reduce.edit import Action, Edit, walk
from harness.reduce.index import assign, code
from harness.reduce.settings import is_literal

BLOCK = cst.IndentedBlock


def prose(module: cst.Module) -> Sequence[Edit]:
    """Comments, docstrings and annotations go, and empty lines with them: one edit."""
    drop: dict[cst.CSTNode, Action] = {}
    for node in walk(module):
        if isinstance(node, cst.EmptyLine):
            drop[node] = edit.remove
        elif isinstance(node, cst.TrailingWhitespace) and node.comment is not None:
            drop[node] = edit.by(cst.TrailingWhitespace())
        elif isinstance(node, cst.SimpleStatementLine) and all(
            isinstance(one, cst.Expr) and isinstance(one.value, cst.BaseString) for one in node.body
        ):
            drop[node] = edit.remove
        elif isinstance(node, cst.FunctionDef) and node.returns is not None:
            drop[node] = lambda function: function.with_changes(returns=None)
        elif isinstance(node, cst.Param) and node.annotation is not None:
            drop[node] = lambda one: one.with_changes(
                annotation=None, equal=cst.MaybeSentinel.DEFAULT
            )
        elif isinstance(node, cst.ParenthesizedWhitespace):
            drop[node] = edit.by(cst.SimpleWhitespace(" "))
    bare = {**drop}
    bare.update((node, edit.remove) for node in walk(module) if isinstance(node, cst.AnnAssign)
                and node.value is None)  # fmt: skip
    return [drop, bare] if len(bare) > len(drop) else [drop]


def hollow(module: cst.Module) -> Sequence[Edit]:
    """The body of a function gives way to one that returns 0, or of `__init__` to nothing."""
    empty = cst.parse_module("def f():\n    return 0\n").body[0]
    nothing = cst.parse_module("def f():\n    pass\n").body[0]
    assert isinstance(empty, cst.FunctionDef)
    assert isinstance(nothing, cst.FunctionDef)
    changes: list[Edit] = []
    for node in walk(module):
        if isinstance(node, cst.FunctionDef) and len(module.code_for_node(node.body)) > 20:
            body = nothing.body if node.name.value == "__init__" else empty.body
            changes.append({node.body: edit.by(body)})
    return changes


def zeros(module: cst.Module) -> Sequence[Edit]:
    """What is computed for a name, an attribute or a caller gives way to 0."""
    return _zeros(module, cst.Assign | cst.Return)


def zero_arguments(module: cst.Module) -> Sequence[Edit]:
    """What is computed for an argument gives way to 0."""
    return _zeros(module, cst.Arg)


def _zeros(module: cst.Module, kinds: Any) -> Sequence[Edit]:
    return [
        {node.value: edit.by(cst.Integer("0"))}
        for node in walk(module)
        if isinstance(node, kinds) and node.value is not None and not is_literal(node.value)
    ]


def unwrapped(module: cst.Module) -> Sequence[Edit]:
    """Blocks give way to what is in them: conditions, loops, contexts, handlers of errors."""
    changes: list[Edit] = []
    hidden = loops.is_hidden(module)
    for node in walk(module):
        match node:
            case cst.If(body=BLOCK()):
                changes.append({node: _body})
                if isinstance(node.orelse, cst.Else):
                    changes.append({node: lambda one: cst.FlattenSentinel(one.orelse.body.body)})
                    changes.append({node: lambda one: one.with_changes(orelse=None)})
            case cst.While(body=BLOCK()) | cst.With(body=BLOCK()) | cst.Try(body=BLOCK()):
                changes.append({node: _body})
                if isinstance(node, cst.Try) and node.finalbody is not None:
                    changes.append({node: _with_end})
            case cst.For(body=BLOCK()):
                changes.append({node: partial(loops.once, hidden=hidden)})
    return changes


def decided(module: cst.Module) -> Sequence[Edit]:
    """Conditions that are literals: what always comes stays, and the rest goes. One edit."""
    around = edit.parents(module)
    change: dict[cst.CSTNode, Action] = {}
    for node in walk(module):
        match node:
            case cst.IfExp(test=test) if (value := _truth(test)) is not None:
                change[node] = _branch if value else _other_branch
            case cst.If(test=test, body=BLOCK()) if (value := _truth(test)) is not None:
                if isinstance(around[node], cst.If):  # an `elif`, which no statements may replace
                    change[node] = _last if value else _other_branch
                else:
                    change[node] = _body if value else _otherwise
    return [change] if change else []


def _truth(node: cst.BaseExpression) -> bool | None:
    """The truth of a literal; None of anything else."""
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Not):
        value = _truth(node.expression)
        return None if value is None else not value
    if not is_literal(node) or isinstance(node, cst.UnaryOperation):
        return None
    return bool(ast.literal_eval(code(node)))


def _branch(node: Any) -> Any:
    return node.body


def _other_branch(node: Any) -> Any:
    return cst.RemoveFromParent() if node.orelse is None else node.orelse


def _otherwise(node: Any) -> Any:
    """The statements of a condition that never holds."""
    match node.orelse:
        case cst.Else(body=cst.SimpleStatementSuite(body=line)):
            return cst.SimpleStatementLine(line)
        case cst.Else(body=BLOCK(body=lines)):
            return cst.FlattenSentinel(lines)
    return _other_branch(node)


def _last(node: Any) -> Any:
    return cst.Else(node.body)


def _body(node: Any) -> Any:
    if isinstance(node, cst.With):
        # What a name stands for is still needed.
        bound = [
            assign(item.asname.name, item.item) for item in node.items if item.asname is not None
        ]
        return cst.FlattenSentinel([*bound, *node.body.body])
    return cst.FlattenSentinel(node.body.body)


def _with_end(node: Any) -> Any:
    """The body of a `try`, and then what always comes after it."""
    return cst.FlattenSentinel([*node.body.body, *node.finalbody.body.body])


def passed_through(module: cst.Module) -> Sequence[Edit]:
    """A call of what an object holds gives way to its first argument: a layer, an activation."""
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Call(
                func=cst.Attribute(value=cst.Name(value="self" | "nn" | "mx")),
                args=[cst.Arg(keyword=None, star="", value=value), *_],
            ) if not is_literal(value):
                changes.append({node: _argument})
    return changes


def _argument(call: Any) -> Any:
    return call.args[0].value


def shorter(module: cst.Module) -> Sequence[Edit]:
    """An expression gives way to a part of it."""
    hidden = loops.is_hidden(module)
    return [
        {node: edit.by(part)}
        for node in walk(module)
        if isinstance(node, cst.BaseExpression)
        for part in _parts(node, hidden)
    ]


def _parts(node: cst.BaseExpression, hidden: bool) -> Iterator[cst.BaseExpression]:
    match node:
        case cst.Call(args=args, func=func):
            if isinstance(func, cst.Attribute):
                yield func.value
            for arg in args:
                if not arg.star:
                    yield arg.value
        case cst.BinaryOperation(left=left, right=right):
            yield left
            yield right
        case cst.BooleanOperation(left=left, right=right):
            yield left
            yield right
        case cst.Comparison() | cst.Lambda():
            return
        case cst.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case cst.Subscript(value=value):
            yield value
        case cst.ListComp() | cst.GeneratorExp():
            yield node.elt
            yield loops.first_of(node, hidden)
        case cst.Await(expression=expression):
            yield expression
        case cst.FormattedString(parts=parts):
            for one in parts:
                if isinstance(one, cst.FormattedStringExpression):
                    yield one.expression
        case cst.UnaryOperation(expression=expression) if not is_literal(node):
            yield expression


def fewer(module: cst.Module) -> Sequence[Edit]:
    """Arguments, elements, decorators, parts of f-strings and the value of a return go, and of
    several values that are assigned together, one with its name. Of what is added to a name, that
    alone is left."""
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Arg():
                changes.append({node: edit.remove})
            case cst.Element() | cst.DictElement():
                changes.append({node: edit.remove})
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Tuple(elements=targets))],
                value=cst.Tuple(elements=values),
            ) if len(targets) == len(values) > 1:
                changes += [{node: partial(assign_without, at=at)} for at in range(len(targets))]
            case cst.AugAssign(value=value):
                changes.append({node: edit.by(cst.Expr(value))})
            case cst.Decorator() | cst.FormattedStringText() | cst.FormattedStringExpression():
                changes.append({node: edit.remove})
            case cst.Return(value=value) if value is not None:
                changes.append({node: lambda one: one.with_changes(value=None)})
    return changes


def assign_without(node: Any, at: int) -> Any:
    """An assignment of several values to as many names, without one of them."""
    targets = [*node.targets[0].target.elements]
    values = [*node.value.elements]
    if len(targets) != len(values) or at >= len(targets):
        return node
    del targets[at], values[at]
    if len(targets) == 1:
        return cst.Assign([cst.AssignTarget(targets[0].value)], values[0].value)
    left = node.targets[0].with_changes(target=cst.Tuple(targets, lpar=[], rpar=[]))
    return node.with_changes(targets=[left], value=cst.Tuple(values, lpar=[], rpar=[]))
