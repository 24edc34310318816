"""Lines of a scenario's source that may do what was found. Pure.

The source says what a line may do, and not that it did: whoever shows these says so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

GROWTH = ("memory_growth", "graph_growth", "rss_growth")
APART = ("collective_mismatch", "rank_left")
_KEEPS = frozenset(("append", "extend", "add", "insert", "appendleft", "setdefault", "update"))
_CONTAINERS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS = frozenset(("list", "dict", "set", "deque", "defaultdict", "OrderedDict"))
MOST = 3


def step(source: str) -> int | None:
    """The line of the step: of the first function in `make_step`, or of that itself."""
    made = _make_step(_parsed(source))
    if made is None:
        return None
    inner = [node for node in ast.walk(made) if isinstance(node, ast.FunctionDef)][1:]
    return (inner[0] if inner else made).lineno


def kept(source: str) -> tuple[tuple[int, str], ...]:
    """Lines inside a function that put something into a container made outside of it."""
    tree = _parsed(source)
    lines = source.splitlines()
    found = {}
    for function, outside in _functions(tree, frozenset()):
        for node in ast.walk(function):
            if not isinstance(node, ast.Call | ast.Assign):
                continue
            name = _stored_in(node)
            if name in outside and name not in _bound(function):
                found[node.lineno] = lines[node.lineno - 1].strip()
    return tuple(sorted(found.items()))[:MOST]


def by_rank(source: str) -> tuple[tuple[int, str], ...]:
    """Lines that do something for some ranks alone."""
    lines = source.splitlines()
    tests = {
        node.lineno: lines[node.lineno - 1].strip()
        for node in ast.walk(_parsed(source))
        if isinstance(node, ast.If) and _asks_for_rank(node.test)
    }
    return tuple(sorted(tests.items()))[:MOST]


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module([], [])


def _make_step(tree: ast.Module) -> ast.FunctionDef | None:
    made = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "make_step")
    return next(made, None)


def _functions(
    node: ast.AST, outside: frozenset[str]
) -> Iterator[tuple[ast.FunctionDef, frozenset[str]]]:
    """Each function, with the containers that are made around it."""
    around = outside | _containers(node)
    for child in _inside(node):
        if isinstance(child, ast.FunctionDef):
            yield child, around
            yield from _functions(child, around)


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of this function or module; of a function in it that alone."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef):
            yield from _inside(child)


def _containers(node: ast.AST) -> frozenset[str]:
    return frozenset(
        target.id
        for child in _inside(node)
        for target, value in _assigned(child)
        if isinstance(target, ast.Name) and _makes_container(value)
    )


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each target of an assignment with its value, those of tuples one by one."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        yield node.target, node.value
    if isinstance(node, ast.Assign):
        value = node.value
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from zip(target.elts, value.elts, strict=False)
            else:
                yield target, value


def _makes_container(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in _MAKERS
    return isinstance(value, _CONTAINERS)


def _bound(function: ast.FunctionDef) -> frozenset[str]:
    return frozenset(
        node.id
        for node in _inside(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


def _stored_in(node: ast.Call | ast.Assign) -> str | None:
    """The name of the container that a statement puts something into."""
    target: ast.expr | None = None
    if isinstance(node, ast.Assign):
        if isinstance(node.targets[0], ast.Subscript):
            target = node.targets[0].value
    elif isinstance(node.func, ast.Attribute) and node.func.attr in _KEEPS:
        target = node.func.value
    return target.id if isinstance(target, ast.Name) else None


def _asks_for_rank(test: ast.expr) -> bool:
    names = (
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(test)
        if isinstance(node, ast.Attribute | ast.Name)
    )
    return any(name in ("rank", "world_rank", "local_rank") for name in names)
