"""Edits of loops, of what they go through, and of generators: one round is enough. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Action, Edit, walk
from harness.reduce.index import Index, assign
from harness.reduce.inline import replaced

NEXT = "next"


def is_hidden(module: cst.Module) -> bool:
    """True where a function of the program has the name of Python's `next`, or may get it."""
    return any(isinstance(node, cst.FunctionDef) and node.name.value == NEXT
               for node in walk(module))  # fmt: skip


def next_of(over: cst.BaseExpression, hidden: bool) -> cst.BaseExpression:
    """The first of what `over` has."""
    if hidden:
        first = cst.SubscriptElement(cst.Index(cst.Integer("0")))
        return cst.Subscript(cst.Call(cst.Name("list"), [cst.Arg(over)]), [first])
    again = cst.Call(cst.Name("iter"), [cst.Arg(over)])
    return cst.Call(cst.Name(NEXT), [cst.Arg(again)])


def once(node: cst.For, hidden: bool) -> Any:
    """The body of a loop for its first element."""
    over = node.iter
    counted = (
        isinstance(over, cst.Call)
        and isinstance(over.func, cst.Name)
        and over.func.value == "range"
    )
    value = cst.Integer("0") if counted else next_of(over, hidden)
    body = cst.ensure_type(node.body, cst.IndentedBlock)
    target = node.target
    uses = _uses(body, target.value) if isinstance(target, cst.Name) else None
    if isinstance(target, cst.Name) and (uses == 1 or (uses == 0 and counted)):
        return cst.FlattenSentinel(replaced(body, {target.value: value}).body)
    return cst.FlattenSentinel([assign(target, value), *body.body])


def _uses(node: cst.CSTNode, name: str) -> int:
    return sum(isinstance(one, cst.Name) and one.value == name for one in walk(node))


def first_of(node: cst.ListComp | cst.GeneratorExp, hidden: bool) -> cst.BaseExpression:
    """The first element of a comprehension."""
    target = node.for_in.target
    if not isinstance(target, cst.Name) or not _uses(node.elt, target.value):
        return node.elt
    first = next_of(node.for_in.iter, hidden)
    found: cst.BaseExpression = replaced(node.elt, {target.value: first})
    return found


def joined(module: cst.Module) -> Sequence[Edit]:
    """A loop through a comprehension goes through what that goes through."""
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.For(
                target=cst.Name(value=name),
                iter=cst.ListComp(
                    for_in=cst.CompFor(target=target, iter=over, ifs=[], inner_for_in=None),
                    elt=elt,
                ),
                body=cst.IndentedBlock() as body,
            ) if _uses(body, name) == 1:
                inside = replaced(body, {name: elt})
                changes.append({node: _through(target, over, inside)})
    return changes


def _through(target: Any, over: Any, body: Any) -> Action:
    return lambda loop: loop.with_changes(target=target, iter=over, body=body)


def generators(module: cst.Module) -> Sequence[Edit]:
    """A generator of which one element is taken becomes a function that returns it.

    Of numbered elements, the number goes where nobody uses it.
    """
    index = Index(module)
    changes: list[Edit] = []
    for name in list(index.functions):
        function = index.function(name)
        value = None if function is None else _yielded(function)
        if function is None or value is None:
            continue
        uses = [_taken(index, node) for node in _calls(index, name)]
        if uses and None not in uses:
            change: dict[cst.CSTNode, Action] = {value: edit.by(cst.Return(value.value.value))}
            for use in uses:
                change.update(use or {})
            changes.append(change)
    changes += _unnumbered(index, module)
    return changes


def _yielded(function: cst.FunctionDef) -> Any:
    """The only `yield` of a function, where it is the last statement; None if there is no such."""
    yields = [node for node in walk(function.body) if isinstance(node, cst.Yield)]
    match function.body:
        case cst.IndentedBlock(
            body=[*_, cst.SimpleStatementLine(body=[cst.Expr(value=cst.Yield() as one) as last])]
        ) if len(yields) == 1 and not isinstance(one.value, cst.From):
            return last
    return None


def _calls(index: Index, name: str) -> Iterator[cst.CSTNode]:
    """All uses of a function: the calls, or what else names it."""
    function = index.function(name)
    for node in (*index.names[name], *index.attributes[name]):
        if function is None or node is not function.name:
            around = index.parents[node]
            yield around if isinstance(around, cst.Call) and around.func is node else node


def _taken(index: Index, call: cst.CSTNode) -> dict[cst.CSTNode, Action] | None:
    """The edit of the place that takes the first element of a generator; None if none does."""
    if not isinstance(call, cst.Call):
        return None
    around: cst.CSTNode = call
    while (arg := index.parents[around]) and isinstance(arg, cst.Arg):
        outer = index.parents[arg]
        if not isinstance(outer, cst.Call) or len(outer.args) != 1:
            return None
        around = outer
        if isinstance(outer.func, cst.Name) and outer.func.value == NEXT:
            return {outer: edit.by(call)}
        if not (isinstance(outer.func, cst.Name) and outer.func.value == "iter"):
            return None
    loop = index.parents[around]
    if isinstance(loop, cst.For) and loop.iter is call and isinstance(loop.body, cst.IndentedBlock):
        return {loop: lambda one: cst.FlattenSentinel([assign(one.target, one.iter),
                                                       *one.body.body])}  # fmt: skip
    return None


def _unnumbered(index: Index, module: cst.Module) -> Iterator[Edit]:
    """The number that `enumerate` gives goes where nobody uses it."""
    for node in walk(module):
        match node:
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Tuple(elements=[number, other]) as target)],
                value=cst.Call(func=cst.Name(value="next"), args=[cst.Arg(value=inner)]),
            ):
                over = _numbered(inner)
                if over is not None and _is_alone(index, number.value):
                    value = next_of(over, hidden=False)
                    yield {target: edit.by(other.value), node.value: edit.by(value)}
            case cst.For(target=cst.Tuple(elements=[number, other]) as target, iter=numbered):
                over = _numbered(numbered)
                if over is not None and _is_alone(index, number.value):
                    yield {target: edit.by(other.value), numbered: edit.by(over)}


def _is_alone(index: Index, name: cst.CSTNode) -> bool:
    return isinstance(name, cst.Name) and len(index.same(name)) == 1


def _numbered(node: cst.CSTNode) -> cst.BaseExpression | None:
    """The argument of `enumerate`; None where it is not called."""
    match node:
        case cst.Call(func=cst.Name(value="iter"), args=[cst.Arg(value=inner)]):
            return _numbered(inner)
        case cst.Call(func=cst.Name(value="enumerate"), args=[cst.Arg(value=over)]):
            return over
    return None


def lists(module: cst.Module) -> Sequence[Edit]:
    """A list of which only the first element is taken gives way to that element."""
    index = Index(module)
    hidden = is_hidden(module)
    changes: list[Edit] = []
    for node in walk(module):
        match node:
            case cst.Assign(
                targets=[cst.AssignTarget(target=cst.Name() | cst.Attribute() as target)],
                value=cst.List() | cst.ListComp() as value,
            ):
                change = _of_first(index, target, value, hidden)
                if change is not None:
                    changes.append(change)
    return changes


def _of_first(
    index: Index, target: cst.Name | cst.Attribute, value: Any, hidden: bool
) -> Edit | None:
    if isinstance(value, cst.ListComp):
        first = first_of(value, hidden)
    elif value.elements and not isinstance(value.elements[0], cst.StarredElement):
        first = value.elements[0].value
    else:
        return None
    uses: Sequence[cst.CSTNode] = (
        index.same(target) if isinstance(target, cst.Name) else index.attributes[target.attr.value]
    )
    change: dict[cst.CSTNode, Action] = {value: edit.by(first)}
    for use in uses:
        if use is target:
            continue
        place = _first_taken(index, use)
        if place is None:
            return None
        change[place] = _same(use)
    return change if len(change) > 1 else None


def _same(use: Any) -> Action:
    return edit.by(use)


def _first_taken(index: Index, use: cst.CSTNode) -> cst.CSTNode | None:
    """`next(iter(use))` or `use[0]` around a use; None where all of it is used."""
    around = index.parents[use]
    match around:
        case cst.Subscript(
            value=value,
            slice=[cst.SubscriptElement(slice=cst.Index(value=cst.Integer(value="0")))],
        ) if value is use:
            return around
        case cst.Arg():
            again = index.parents[around]
            match again:
                case cst.Call(func=cst.Name(value="iter" | "list")):
                    outer = index.parents[again]
                    if isinstance(outer, cst.Arg):
                        outer = index.parents[outer]
                        match outer:
                            case cst.Call(func=cst.Name(value="next")):
                                return outer
                    elif isinstance(outer, cst.Subscript):
                        return _first_taken(index, again)
    return None
