"""The passes: each makes candidates from a program, the ones that save most first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from typing import NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from harness.reduce import (
    arguments,
    calls,
    edit,
    expressions,
    holders,
    inline,
    loops,
    objects,
    settings,
    texts,
    values,
)
from harness.reduce.edit import Edit
from harness.reduce.names import Dead, Names
from harness.reduce.search import Text


class Candidates(NamedTuple):
    """The edits of one pass over one program."""

    number: int
    text: Text


Pass = Callable[[str], Candidates]


def deletions(
    text: str, pick: Callable[[Names], list[list[cst.CSTNode]]], race: bool = False
) -> Candidates:
    """Delete groups of statements with all that needs them, and what then nobody needs.

    In a `race` the sleeps stay, but for those in what goes.
    """
    module = edit.parsed(text)
    names = Names(module)
    groups = pick(names)

    def without(chosen: frozenset[int]) -> str | None:
        nodes = [node for number in chosen for node in groups[number]]
        return _without(module, names, nodes, race)

    return Candidates(len(groups), without)


def _without(
    module: cst.Module, names: Names, nodes: Sequence[cst.CSTNode], race: bool = False
) -> str | None:
    dead = Dead(names, nodes)
    if race and any(_sleeps(one) and not dead.is_dead(names.parents[one]) for one in dead.gone):
        return None
    return edit.applied(
        module, [dict.fromkeys(dead.gone, edit.remove), dict.fromkeys(dead.cut, edit.nothing)]
    )


def unused(text: str) -> Candidates:
    """Delete what binds names that nobody uses, all at once."""
    return deletions(text, lambda names: [[]])


def never_run(text: str, lines: Set[int]) -> Candidates:
    """Delete the statements of which no line ran."""
    wrapper = MetadataWrapper(edit.parsed(text), unsafe_skip_copy=True)
    positions = wrapper.resolve(PositionProvider)
    module = wrapper.module
    names = Names(module)

    def ran(node: cst.CSTNode) -> bool:
        place = positions[node]
        first = place.start.line
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            body = positions[node.body]
            return any(line in lines for line in range(body.start.line, body.end.line + 1))
        return any(line in lines for line in range(first, place.end.line + 1))

    idle = [
        node
        for node in names.statements
        if not ran(node) and not isinstance(node, cst.Global | cst.Nonlocal)
    ]

    def without(chosen: frozenset[int]) -> str | None:
        return _without(module, names, [idle[number] for number in chosen])

    return Candidates(len(idle), without)


def statements(text: str, depth: int, race: bool = False) -> Candidates:
    """Delete statements that lie in `depth` others; those in one block stand together."""

    def pick(names: Names) -> list[list[cst.CSTNode]]:
        return [[node] for node in names.statements if _depth(names, node) == depth]

    return deletions(text, pick, race)


def _sleeps(node: cst.CSTNode) -> bool:
    """True for a call of `sleep` alone."""
    match node:
        case cst.Expr(value=cst.Call(func=cst.Attribute(attr=cst.Name(value="sleep")))):
            return True
        case cst.Expr(value=cst.Call(func=cst.Name(value="sleep"))):
            return True
    return False


def depths(text: str) -> int:
    """The number of depths at which statements lie."""
    names = Names(edit.parsed(text))
    return 1 + max((_depth(names, node) for node in names.statements), default=-1)


def _depth(names: Names, node: cst.CSTNode) -> int:
    depth = 0
    above = names.parents.get(node)
    while above is not None and not isinstance(above, cst.Module):
        depth += 1
        above = names.parents.get(above)
    return depth


def edits(text: str, made: Callable[[cst.Module], Sequence[Edit]]) -> Candidates:
    """Edit the tree."""
    module = edit.parsed(text)
    changes = made(module)

    def edited(chosen: frozenset[int]) -> str | None:
        return edit.applied(module, [changes[number] for number in sorted(chosen)])

    return Candidates(len(changes), edited)


def lines(text: str) -> Candidates:
    """Delete lines of texts."""
    module = edit.parsed(text)
    found = texts.lines_of(module)

    def without(chosen: frozenset[int]) -> str | None:
        return edit.applied(module, [texts.without([found[number] for number in chosen])])

    return Candidates(len(found), without)


def first(whole: bool) -> Iterator[tuple[str, Pass]]:
    """The passes that take away much at one stroke. A `whole` program gets small settings too, so
    that all later ones run faster."""
    yield "comments", lambda text: edits(text, expressions.prose)
    yield "command line", lambda text: edits(text, arguments.folded)
    if whole:
        yield "settings", lambda text: edits(text, settings.smaller)
    yield "bodies", lambda text: edits(text, expressions.hollow)


def simpler() -> Iterator[tuple[str, Pass]]:
    """The passes over values and settings."""
    yield "values", lambda text: edits(text, expressions.zeros)
    # What a hang only prints keeps a whole training.
    yield "arguments", lambda text: edits(text, expressions.zero_arguments)
    yield "settings", lambda text: edits(text, settings.smaller)
    yield "settings", lambda text: edits(text, settings.plainer)
    yield "calls", lambda text: edits(text, expressions.passed_through)


def structure(text: str, race: bool = False) -> Iterator[tuple[str, Pass]]:
    """The passes over whole statements, from the outermost on."""
    for depth in range(depths(text)):
        yield f"statements at depth {depth}", partial(statements, depth=depth, race=race)


def seen(text: str, printed: Callable[[str], str]) -> Candidates:
    """Put literals in the place of what is always the same; `printed` runs a program for that."""
    noting = values.noting(text)
    found = values.notes(printed(noting)) if noting is not None else {}
    return edits(text, values.constants(found))


def blocks() -> Iterator[tuple[str, Pass]]:
    """The passes over blocks, functions, classes and names."""
    yield "conditions", lambda text: edits(text, expressions.decided)
    yield "blocks", lambda text: edits(text, expressions.unwrapped)
    yield "parameters", lambda text: edits(text, calls.parameters)
    yield "functions", lambda text: edits(text, inline.functions)
    yield "threads", lambda text: edits(text, inline.targets)
    yield "base classes", lambda text: edits(text, objects.merged)
    yield "objects", lambda text: edits(text, objects.objects)
    yield "objects", lambda text: edits(text, holders.holders)
    yield "loops", lambda text: edits(text, loops.generators)
    yield "loops", lambda text: edits(text, loops.lists)
    yield "loops", lambda text: edits(text, loops.joined)
    yield "constants", lambda text: edits(text, settings.propagated)
    yield "names", lambda text: edits(text, inline.aliases)
    yield "names", lambda text: edits(text, inline.unpacked)
    yield "names", lambda text: edits(text, inline.single_uses)


def details() -> Iterator[tuple[str, Pass]]:
    """The passes over calls and expressions."""
    yield "arguments", lambda text: edits(text, expressions.fewer)
    yield "expressions", lambda text: edits(text, expressions.shorter)
    yield "texts", lambda text: edits(text, texts.dedented)
    yield "texts", lines
