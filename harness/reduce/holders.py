"""Edits of classes that only hold one thing. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from harness.reduce import edit
from harness.reduce.edit import Action, Edit
from harness.reduce.index import Index, grouped


def holders(module: cst.Module) -> Sequence[Edit]:
    """A class whose objects hold one argument and do nothing gives way to that argument."""
    index = Index(module)
    changes: list[Edit] = []
    for node in module.body:
        match node:
            case cst.ClassDef(bases=[], decorators=[], body=cst.IndentedBlock(
                body=[cst.FunctionDef(name=cst.Name(value="__init__")) as start]
            )):  # fmt: skip
                attribute = _held(start)
                change = attribute and _without(index, node, attribute)
                if change:
                    changes.append(change)
    return changes


def _held(start: cst.FunctionDef) -> cst.Attribute | None:
    """`self.x` where `self.x = x` is all that `__init__` does, and `x` its only parameter."""
    match start:
        case cst.FunctionDef(
            params=cst.Parameters(params=[cst.Param(), cst.Param(name=cst.Name(value=name))]),
            body=cst.IndentedBlock(
                body=[
                    cst.SimpleStatementLine(
                        body=[
                            cst.Assign(
                                targets=[cst.AssignTarget(target=cst.Attribute() as target)],
                                value=cst.Name(value=given),
                            )
                        ]
                    )
                ]
            ),
        ) if given == name:
            return target
    return None


def _without(index: Index, one: cst.ClassDef, held: cst.Attribute) -> Edit | None:
    change: dict[cst.CSTNode, Action] = {one: edit.remove}
    for use in index.names[one.name.value]:
        if use is one.name:
            continue
        call = index.parents[use]
        if not isinstance(call, cst.Call) or call.func is not use or len(call.args) != 1:
            return None
        change[call] = _argument
    for node in index.attributes[held.attr.value]:
        if node is not held:
            change[node] = _object
    return change


def _argument(call: cst.Call) -> cst.BaseExpression:
    return grouped(call.args[0].value)


def _object(attribute: cst.Attribute) -> cst.BaseExpression:
    return attribute.value
