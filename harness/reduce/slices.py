"""A program cut down to what leads to the lines where its symptom is. Pure.

A guess that saves many tries where it is right. After Weiser, Program slicing (1984), by names
instead of by the flow of data: what it gets wrong costs one try.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from harness.reduce import edit
from harness.reduce.names import Dead, Names, Use

TIMES = ("sleep", "start", "join", "seed", "add_argument")
"""Names of calls on which the order of events or the data depends."""


def programs(text: str, places: Set[int], lines: Set[int]) -> list[str]:
    """Two guesses, a narrow and a wide one. `places` are the lines of the symptom, `lines` those
    that ran; what did not run is left out as well."""
    wrapper = MetadataWrapper(edit.parsed(text), unsafe_skip_copy=True)
    names = Names(wrapper.module)
    spans = _spans(wrapper, names)
    made = []
    for wide in (False, True):
        kept = _Slice(names, wide).around(
            [node for node in names.statements if _is_at(node, spans[node], places)]
        )
        gone = [
            node
            for node in names.statements
            if node not in kept
            or (lines and not lines & set(range(spans[node][0], spans[node][1] + 1)))
        ]
        dead = Dead(names, gone, kept)
        program = edit.applied(
            wrapper.module,
            [dict.fromkeys(dead.gone, edit.remove), dict.fromkeys(dead.cut, edit.nothing)],
        )
        if kept and program is not None and program not in made:
            made.append(program)
    return made


def _is_at(node: cst.CSTNode, span: tuple[int, int], places: Set[int]) -> bool:
    """True for a statement in one of `places`; of a block, that is its first line."""
    if isinstance(node, cst.BaseCompoundStatement):
        return span[0] in places
    return not places.isdisjoint(range(span[0], span[1] + 1))


def _spans(wrapper: MetadataWrapper, names: Names) -> dict[cst.CSTNode, tuple[int, int]]:
    places = wrapper.resolve(PositionProvider)
    return {node: (places[node].start.line, places[node].end.line) for node in names.statements}


class _Slice:
    """Grows from some statements to all that lead to them."""

    def __init__(self, names: Names, wide: bool) -> None:
        self._names = names
        self._wide = wide
        self._kept: set[cst.CSTNode] = set()
        self._uses: dict[cst.CSTNode, list[Use]] = {}
        self._by_name: dict[str, list[Use]] = {}
        for use in (*names.uses, *names.reads):
            self._uses.setdefault(use.statement, []).append(use)
            self._by_name.setdefault(use.name, []).append(use)
        self._reads = set(names.reads)
        self._path: set[cst.CSTNode] = set()
        """The functions and classes around the symptom: of these only a part is kept."""
        self._children: dict[cst.CSTNode, list[cst.CSTNode]] = {}
        for statement in names.statements:
            self._children.setdefault(names.parents[statement], []).append(statement)

    def around(self, seeds: Sequence[cst.CSTNode]) -> set[cst.CSTNode]:
        waiting = list(seeds)
        for node in seeds:
            self._path.update(self._above(node))
        while waiting:
            node = waiting.pop()
            if node in self._kept or isinstance(node, cst.Module):
                continue
            self._kept.add(node)
            waiting += self._needed(node)
        return self._kept

    def _needed(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        needed = [self._names.parents[node]] if node in self._names.parents else []
        for use in self._uses.get(node, []):
            inside = isinstance(use.spot, cst.Arg) and not isinstance(
                node, cst.BaseCompoundStatement
            )
            if not inside or self._wide:
                needed += self._binders(use)
        if isinstance(node, cst.FunctionDef) and node in self._path:
            # Who calls it, or hands it to somebody who does.
            callers = [use.statement for use in self._by_name.get(node.name.value, [])]
            for caller in callers:
                self._path.update(self._above(caller))
            needed += callers
        elif isinstance(node, cst.Assign):
            needed += self._started(node)
        whole = self._is_whole(node)
        needed += [
            child for child in self._children.get(node, []) if whole or self._always(node, child)
        ]
        return needed

    def _above(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """The functions and classes around a statement."""
        above = self._names.parents.get(node)
        while above is not None:
            if isinstance(above, cst.FunctionDef | cst.ClassDef):
                yield above
            above = self._names.parents.get(above)

    def _is_whole(self, node: cst.CSTNode) -> bool:
        """True in a function that is needed for what it gives."""
        around = [node] if isinstance(node, cst.FunctionDef) else []
        around += [one for one in self._above(node) if isinstance(one, cst.FunctionDef)]
        if not around or any(one in self._path for one in around):
            return False
        outer = around[-1]
        of_path = self._names.parents.get(outer) in self._path
        return not (of_path and outer.name.value == "__init__")

    def _always(self, node: cst.CSTNode, child: cst.CSTNode) -> bool:
        """True for what goes with `node`: special methods of a class, what a function returns."""
        if isinstance(node, cst.ClassDef):
            return not isinstance(child, cst.FunctionDef) or child.name.value.startswith("__")
        return self._is_return(child)

    def _is_return(self, statement: cst.CSTNode) -> bool:
        return isinstance(statement, cst.Return | cst.Global | cst.Nonlocal) or any(
            use.name in TIMES for use in self._uses.get(statement, [])
        )

    def _binders(self, use: Use) -> list[cst.CSTNode]:
        binders = (
            self._names.attributes.get(use.name, [])
            if use in self._reads
            else use.scope.binders(use.name)
        )
        return [
            self._names.parents[one] if isinstance(one, cst.ImportAlias) else one for one in binders
        ]

    def _started(self, node: cst.Assign) -> list[cst.CSTNode]:
        """The statements that start or end what `node` makes: a thread, a process."""
        bound = {
            target.target.value for target in node.targets if isinstance(target.target, cst.Name)
        }
        return [
            statement
            for name in bound
            for statement in (use.statement for use in self._by_name.get(name, []))
            if any(other.name in TIMES for other in self._uses.get(statement, []))
        ]
