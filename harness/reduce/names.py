"""The statements that bind and that use each name and attribute of a program. Pure.

It is an approximation, as good as the tests of candidates are many: what it gets wrong costs a try.
"""

from __future__ import annotations

import builtins
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field

import libcst as cst

from harness.reduce import edit

BUILTINS = frozenset([*dir(builtins), "__file__", "__name__", "__doc__", "__spec__"])


@dataclass(eq=False)
class Scope:
    """A module, a function, a class or a comprehension."""

    above: Scope | None
    bound: dict[str, list[cst.CSTNode]] = field(default_factory=lambda: defaultdict(list))
    """For each name, the nodes that bind it: statements, or aliases of an import."""

    def binders(self, name: str) -> list[cst.CSTNode]:
        """All that may bind `name` as it is seen from here."""
        found: list[cst.CSTNode] = []
        scope: Scope | None = self
        while scope is not None:
            found += scope.bound.get(name, [])
            scope = scope.above
        return found


@dataclass(frozen=True, eq=False)
class Use:
    """One place where a name or an attribute is read."""

    name: str
    scope: Scope
    statement: cst.CSTNode
    spot: cst.CSTNode | None
    """The argument or element that it lies in: that can be cut, and the statement stays."""


class Names:
    """All names and attributes of a module."""

    def __init__(self, module: cst.Module) -> None:
        self.top = Scope(None)
        self.uses: list[Use] = []
        self.attributes: dict[str, list[cst.CSTNode]] = defaultdict(list)
        """For each attribute, the statements that set it: methods, variables of a class, stores."""
        self.reads: list[Use] = []
        """The attributes that are read."""
        self.spots: dict[cst.CSTNode, tuple[Sequence[cst.CSTNode], cst.CSTNode | None]] = {}
        """For each argument and element, those beside it, and the one that it lies in."""
        self._spot: cst.CSTNode | None = None
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        """For each statement and alias, the statement around it."""
        self.statements: list[cst.CSTNode] = []
        self._globals: dict[Scope, set[str]] = defaultdict(set)
        self._defined = {
            node.name.value
            for node in edit.walk(module)
            if isinstance(node, cst.FunctionDef | cst.ClassDef)
        }
        for node in module.body:
            self._walk(node, self.top, module, False)
        self.text_words = {
            node.value.strip("rbuRBU'\"")
            for node in edit.walk(module)
            if isinstance(node, cst.SimpleString)
        }
        """The words in strings: a name may be looked up by one."""

    def _bind(self, name: str, scope: Scope, binder: cst.CSTNode, in_class: bool) -> None:
        at = self.top if name in self._globals[scope] else scope
        at.bound[name].append(binder)
        if in_class:
            self.attributes[name].append(binder)

    def _walk(self, node: cst.CSTNode, scope: Scope, statement: cst.CSTNode, klass: bool) -> None:
        """Take in `node`, which lies in `statement`; `klass`: directly in the body of a class."""
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            self.parents[node] = statement
            self.statements.append(node)
            statement = node
        match node:
            case cst.FunctionDef():
                self._function(node, scope, klass)
            case cst.ClassDef():
                self._bind(node.name.value, scope, node, klass)
                for part in (*node.decorators, *node.bases, *node.keywords):
                    self._walk(part, scope, node, False)
                self._walk(node.body, Scope(scope), node, True)
            case cst.Lambda():
                inner = Scope(scope)
                self._parameters(node.params, scope, inner, statement)
                self._walk(node.body, inner, statement, False)
            case cst.ListComp() | cst.SetComp() | cst.GeneratorExp() | cst.DictComp():
                inner = Scope(scope)
                self._comprehension(node.for_in, inner, statement)
                parts = [node.key, node.value] if isinstance(node, cst.DictComp) else [node.elt]
                for part in parts:
                    self._walk(part, inner, statement, False)
            case cst.Import() | cst.ImportFrom():
                if not isinstance(node.names, cst.ImportStar):
                    for alias in node.names:
                        self.parents[alias] = node
                        self._bind(alias_name(alias), scope, alias, klass)
            case cst.Global():
                self._globals[scope].update(item.name.value for item in node.names)
            case cst.Assign():
                self._walk(node.value, scope, statement, False)
                for target in node.targets:
                    self._target(target.target, scope, statement, klass)
            case cst.AnnAssign():
                self._walk(node.annotation.annotation, scope, statement, False)
                if node.value is not None:
                    self._walk(node.value, scope, statement, False)
                self._target(node.target, scope, statement, klass)
            case cst.AugAssign():
                self._walk(node.value, scope, statement, False)
                self._walk(node.target, scope, statement, False)
            case cst.For() | cst.CompFor():
                self._walk(node.iter, scope, statement, False)
                self._target(node.target, scope, statement, klass)
                self._rest(node, ("iter", "target"), scope, statement, klass)
            case cst.AsName():
                self._target(node.name, scope, statement, klass)
            case cst.NamedExpr():
                self._walk(node.value, scope, statement, False)
                self._target(node.target, scope, statement, False)
            case cst.MatchAs() if node.name is not None:
                self._bind(node.name.value, scope, statement, False)
                self._rest(node, ("name",), scope, statement, False)
            case cst.Attribute():
                self.reads.append(Use(node.attr.value, scope, statement, self._spot))
                self._walk(node.value, scope, statement, False)
            case cst.Call():
                self._walk(node.func, scope, statement, False)
                for arg in node.args:
                    # A library seldom goes on with None where it was given something.
                    inside = self._spot is not None or not self._is_defined(node.func)
                    self._in_spot(arg, node.args, inside, arg.value, scope, statement)
            case cst.Tuple() | cst.List() | cst.Set():
                for one in node.elements:
                    self._in_spot(one, node.elements, False, one.value, scope, statement)
            case cst.Arg():
                self._walk(node.value, scope, statement, False)
            case cst.Name():
                self.uses.append(Use(node.value, scope, statement, self._spot))
            case _:
                self._rest(node, (), scope, statement, klass)

    def _is_defined(self, function: cst.BaseExpression) -> bool:
        """True if the program itself has a function, method or class of that name."""
        last = function.attr if isinstance(function, cst.Attribute) else function
        return isinstance(last, cst.Name) and last.value in self._defined

    def _in_spot(
        self, spot: cst.CSTNode, beside: Sequence[cst.CSTNode], inside: bool, value: cst.CSTNode,
        scope: Scope, statement: cst.CSTNode,
    ) -> None:  # fmt: skip
        """Walk `value`, which lies in `spot`, unless what is around it is to be cut with it."""
        around = self._spot
        if not inside:
            self.spots[spot] = beside, around
            self._spot = spot
        self._walk(value, scope, statement, False)
        self._spot = around

    def _rest(
        self, node: cst.CSTNode, left_out: tuple[str, ...], scope: Scope, statement: cst.CSTNode,
        klass: bool,
    ) -> None:  # fmt: skip
        out = [getattr(node, name) for name in left_out]
        for child in edit.children(node):
            if not any(child is one for one in out):
                self._walk(child, scope, statement, klass)

    def _function(self, node: cst.FunctionDef, scope: Scope, klass: bool) -> None:
        self._bind(node.name.value, scope, node, klass)
        for decorator in node.decorators:
            self._walk(decorator, scope, node, False)
        inner = Scope(scope)
        self._parameters(node.params, scope, inner, node)
        self._walk(node.body, inner, node, False)

    def _parameters(
        self, node: cst.Parameters, outer: Scope, inner: Scope, statement: cst.CSTNode
    ) -> None:
        for part in parameters(node):
            inner.bound[part.name.value].append(statement)
            if part.default is not None:
                self._walk(part.default, outer, statement, False)

    def _comprehension(self, node: cst.CompFor, inner: Scope, statement: cst.CSTNode) -> None:
        self._walk(node.iter, inner, statement, False)
        self._target(node.target, inner, statement, False)
        for condition in node.ifs:
            self._walk(condition, inner, statement, False)
        if node.inner_for_in is not None:
            self._comprehension(node.inner_for_in, inner, statement)

    def _target(self, node: cst.CSTNode, scope: Scope, statement: cst.CSTNode, klass: bool) -> None:
        match node:
            case cst.Name():
                self._bind(node.value, scope, statement, klass)
            case cst.Attribute():
                self.attributes[node.attr.value].append(statement)
                self._walk(node.value, scope, statement, False)
            case cst.Tuple() | cst.List():
                for element in node.elements:
                    self._target(element.value, scope, statement, klass)
            case cst.StarredElement():
                self._target(node.value, scope, statement, klass)
            case _:
                self._walk(node, scope, statement, False)


def parameters(node: cst.Parameters) -> Iterator[cst.Param]:
    """All parameters of a function."""
    yield from node.posonly_params
    yield from node.params
    if isinstance(node.star_arg, cst.Param):
        yield node.star_arg
    yield from node.kwonly_params
    if node.star_kwarg is not None:
        yield node.star_kwarg


def alias_name(alias: cst.ImportAlias) -> str:
    """The name that an alias of an import binds."""
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    node: cst.BaseExpression = alias.name
    while isinstance(node, cst.Attribute):
        node = node.value
    return cst.ensure_type(node, cst.Name).value


class Dead:
    """The nodes that go when some nodes go. Grows until nothing depends on what is gone.

    A statement that has a name as one argument of several goes on without it: it gets None there.
    """

    def __init__(
        self, names: Names, gone: Iterable[cst.CSTNode], needed: Set[cst.CSTNode] = frozenset()
    ) -> None:
        """`needed` statements stay as long as they have an argument to lose instead."""
        self._names = names
        self._needed = needed
        self.gone = set(gone)
        self.cut: set[cst.CSTNode] = set()
        while self._users() or self._unused():
            pass

    def is_dead(self, node: cst.CSTNode) -> bool:
        current: cst.CSTNode | None = node
        while current is not None:
            if current in self.gone:
                return True
            current = self._names.parents.get(current)
        return False

    def _is_over(self, use: Use) -> bool:
        spot = use.spot
        while spot is not None:
            if spot in self.cut:
                return True
            spot = self._names.spots[spot][1]
        return self.is_dead(use.statement)

    def _users(self) -> bool:
        """Let go who uses a name or an attribute that nothing binds any more."""
        grown = False
        for use in self._names.uses:
            if use.name not in BUILTINS and self._lost(use.scope.binders(use.name), use):
                grown = True
        for use in self._names.reads:
            if self._lost(self._names.attributes.get(use.name, []), use):
                grown = True
        return grown

    def _lost(self, binders: Sequence[cst.CSTNode], use: Use) -> bool:
        if not binders or not all(map(self.is_dead, binders)) or self._is_over(use):
            return False
        spot = use.spot
        while spot is not None:
            beside, around = self._names.spots[spot]
            self.cut.add(spot)
            if use.statement in self._needed or not all(one in self.cut for one in beside):
                return True
            spot = around
        self.gone.add(use.statement)
        return True

    def _unused(self) -> bool:
        """Let go what binds names that nothing uses, and has no other effect."""
        names = self._names
        used = {id(b) for use in names.uses if not self._inside_own(use)
                for b in use.scope.binders(use.name)}  # fmt: skip
        read = {use.name for use in names.reads if not self._is_over(use)}
        words = names.text_words
        grown = False
        for node in names.parents:
            if self.is_dead(node) or id(node) in used or not _only_binds(node):
                continue
            bound = set(binds(node))
            if not bound or bound & (read | words) or any(n.startswith("__") for n in bound):
                continue
            if self._of_foreign_class(node):
                continue
            self.gone.add(node)
            grown = True
        return grown

    def _inside_own(self, use: Use) -> bool:
        """True for a use that does not count: in what is dead, or of a function in itself."""
        if self._is_over(use):
            return True
        current: cst.CSTNode | None = use.statement
        while current is not None:
            if isinstance(current, cst.FunctionDef | cst.ClassDef) and (
                current.name.value == use.name
            ):
                return True
            current = self._names.parents.get(current)
        return False

    def _of_foreign_class(self, node: cst.CSTNode) -> bool:
        """True in a class with bases: these may call it, as threading.Thread does `run`."""
        above = self._names.parents.get(node)
        return isinstance(above, cst.ClassDef) and bool(above.bases)


def binds(node: cst.CSTNode) -> Iterator[str]:
    """The names that a node binds which does nothing else."""
    if isinstance(node, cst.ImportAlias):
        yield alias_name(node)
    elif isinstance(node, cst.FunctionDef | cst.ClassDef):
        yield node.name.value
    elif isinstance(node, cst.Assign):
        for target in node.targets:
            if isinstance(target.target, cst.Name):
                yield target.target.value
    elif isinstance(node, cst.AnnAssign) and isinstance(node.target, cst.Name):
        yield node.target.value


def _only_binds(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.FunctionDef | cst.ClassDef):
        return not node.decorators
    if isinstance(node, cst.Assign):
        return _calm(node.value) and all(isinstance(t.target, cst.Name) for t in node.targets)
    if isinstance(node, cst.AnnAssign):
        return node.value is None or _calm(node.value)
    return isinstance(node, cst.ImportAlias)


def _calm(node: cst.CSTNode) -> bool:
    """True for an expression whose value is all that it gives."""
    if isinstance(node, cst.Call | cst.Await | cst.Yield | cst.NamedExpr | cst.Subscript):
        return False
    return all(map(_calm, edit.children(node)))
