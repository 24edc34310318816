"""Edits of the parameters of functions, and of what their calls give for them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Action, Edit, walk


def parameters(module: cst.Module) -> Sequence[Edit]:
    """A parameter goes, with what calls of that function give for it."""
    changes: list[Edit] = []
    every = [node for node in walk(module) if isinstance(node, cst.Call)]
    known = _bound_at_top(module)
    for node in walk(module):
        if isinstance(node, cst.FunctionDef):
            changes += _of_function(module, node, every, known)
    return changes


def _of_function(
    module: cst.Module, function: cst.FunctionDef, every: Sequence[cst.Call], known: Set[str]
) -> Iterator[Edit]:
    """The edits of one function; `every` are the calls of the module, `known` its own names."""
    name = function.name.value
    used = Counter(node.value for node in walk(function.body) if isinstance(node, cst.Name))
    method = bool(function.params.params) and function.params.params[0].name.value == "self"
    if name == "__init__":
        name = _class_of(module, function)
    own = function.params.params[method:]
    if len(own) > 1 and not any(used[one.name.value] for one in own):
        # All at once, as a call may unpack what it gives.
        none = function.params.with_changes(params=function.params.params[:method])
        calls = [call for call in every if _is_of(call, name)]
        yield {function.params: edit.by(none),
               **{arg: edit.remove for call in calls for arg in call.args}}  # fmt: skip
    for at, one in enumerate(function.params.params):
        # One that is used may be the module's own of that name.
        if (method and at == 0) or (used[one.name.value] and one.name.value not in known):
            continue
        dropped: dict[cst.CSTNode, Action] = {one: edit.remove}
        for call in every:
            dropped.update(dict.fromkeys(_handed(call, name, at - method), edit.remove))
            if not _is_of(call, name):
                continue
            for number, arg in enumerate(call.args):
                named = arg.keyword is not None and arg.keyword.value == one.name.value
                if named or (arg.keyword is None and number == at - method):
                    dropped[arg] = edit.remove
        yield dropped


def _is_of(call: cst.Call, name: str) -> bool:
    """True for a call of a function or method of that name."""
    last = call.func.attr if isinstance(call.func, cst.Attribute) else call.func
    return isinstance(last, cst.Name) and last.value == name


def _bound_at_top(module: cst.Module) -> set[str]:
    """The names that a module assigns to outside of any block."""
    return {
        target.target.value
        for line in module.body
        if isinstance(line, cst.SimpleStatementLine)
        for small in line.body
        if isinstance(small, cst.Assign)
        for target in small.targets
        if isinstance(target.target, cst.Name)
    }


def _class_of(module: cst.Module, function: cst.FunctionDef) -> str:
    """The class whose body has `function`; the name of that one where none has."""
    around = (
        node.name.value
        for node in walk(module)
        if isinstance(node, cst.ClassDef) and function in node.body.body
    )
    return next(around, function.name.value)


def _handed(call: cst.Call, name: str, place: int) -> Iterator[cst.CSTNode]:
    """The element of `args` that a thread or process hands to its target `name` at `place`."""
    options = {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}
    target, args = options.get("target"), options.get("args")
    last = target.attr if isinstance(target, cst.Attribute) else target
    if isinstance(last, cst.Name) and last.value == name and isinstance(args, cst.Tuple | cst.List):
        yield from args.elements[place : place + 1]
