"""Several modules of a project as one file. Pure.

The statements of each local module stand where it was first imported, its names without the
module's before them. A name that two modules have gets the module's after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import libcst as cst

from harness.errors import UsageError
from harness.reduce import edit
from harness.reduce.edit import walk
from harness.reduce.index import is_script
from harness.reduce.names import BUILTINS, Names, alias_name

Find = Callable[[str], str | None]
"""The source of the local module of a dotted name; None for one that is not local."""


def joined(text: str, find: Find, package: str = "") -> str:
    """`text` with the local modules that it imports in it. `package` is that of the program itself.

    Raises UsageError when one cannot be joined.
    """
    return _Joiner(find).whole(text, package)


class _Module:
    """One local module: its tree, and what its names are called in the joined file."""

    def __init__(self, name: str, package: str, text: str) -> None:
        self.name = name
        self.package = package
        try:
            self.tree = edit.parsed(text)
        except SyntaxError as error:
            raise UsageError(f"cannot read the module {name}: {error}") from error
        names = Names(self.tree)
        self.bound = {
            bound for bound, nodes in names.top.bound.items()
            if not all(isinstance(node, cst.ImportAlias) for node in nodes)
        }  # fmt: skip
        self.imported = set(names.top.bound) - self.bound
        self.renamed: dict[str, str] = {}


class _Joiner:
    def __init__(self, find: Find) -> None:
        self._find = find
        self._modules: dict[str, _Module] = {}
        self._taken: set[str] = set(BUILTINS)
        self._future: list[str] = []
        self._done: set[str] = set()

    def whole(self, text: str, package: str) -> str:
        main = _Module("__main__", package, text)
        self._taken |= main.bound | self._foreign(main)
        body = _once_each(self._statements(main))
        head = [cst.parse_statement(line) for line in dict.fromkeys(self._future)]
        return main.tree.with_changes(body=[*head, *body], header=()).code

    def _foreign(self, module: _Module) -> set[str]:
        """The names that it imports from elsewhere."""
        found: set[str] = set()
        for node in walk(module.tree):
            if isinstance(node, cst.Import):
                found |= {alias_name(a) for a in node.names if not self._find(_dotted(a.name))}
            elif (
                isinstance(node, cst.ImportFrom)
                and not isinstance(node.names, cst.ImportStar)
                and not (node.relative or self._find(_dotted(node.module)))
            ):
                found |= {alias_name(alias) for alias in node.names}
        return found

    def _module(self, name: str) -> _Module | None:
        """The local module of that name, or None."""
        if name not in self._modules:
            found = self._find(name)
            if found is None:
                return None
            package = (
                name if self._find(f"{name}.__init__") is not None else (name.rpartition(".")[0])
            )
            module = self._modules[name] = _Module(name, package, found)
            for bound in sorted(module.bound & self._taken):
                stem = f"{bound}_{name.rpartition('.')[2]}"
                module.renamed[bound] = _free(stem, self._taken | module.bound)
                self._taken.add(module.renamed[bound])
            self._taken |= module.bound
        return self._modules[name]

    def _statements(self, module: _Module) -> list[cst.BaseStatement]:
        """The statements of a module after those of the modules that it imports first."""
        # Names of this file that stand for a local module, or for a name in one.
        modules: dict[str, _Module] = {}
        names: dict[str, str] = {**module.renamed}
        before: list[cst.BaseStatement] = []
        drop: dict[cst.CSTNode, edit.Action] = {}
        for node in walk(module.tree):
            if isinstance(node, cst.ImportFrom) and _dotted(node.module) == "__future__":
                self._future.append(cst.Module([cst.SimpleStatementLine([node])]).code)
                drop[node] = edit.remove
            elif isinstance(node, cst.Import):
                for alias in node.names:
                    dotted = _dotted(alias.name)
                    if (found := self._module(dotted)) is not None:
                        if alias.asname is None and "." in dotted:
                            for part in _above(dotted):
                                self._module(part)
                        modules[alias_name(alias) if alias.asname else dotted] = found
                        before += self._once(found)
                        drop[alias] = edit.remove
            elif isinstance(node, cst.ImportFrom):
                before += self._from(node, module, modules, names, drop)
        for statement in module.tree.body:
            if module.name != "__main__" and is_script(statement):
                drop[statement] = edit.remove
        tree = module.tree.visit(_Renamer(modules, names, drop))
        assert isinstance(tree, cst.Module)
        return [*before, *tree.body]

    def _from(
        self, node: cst.ImportFrom, module: _Module, modules: dict[str, _Module],
        names: dict[str, str], drop: dict[cst.CSTNode, edit.Action],
    ) -> list[cst.BaseStatement]:  # fmt: skip
        source = _dotted(node.module)
        if node.relative:
            parts = module.package.split(".") if module.package else []
            kept = parts[: len(parts) - len(node.relative) + 1]
            source = ".".join([*kept, *filter(None, [source])])
        before: list[cst.BaseStatement] = []
        found = self._module(source) if source else None
        if isinstance(node.names, cst.ImportStar):
            if found is None:
                return []
            drop[node] = edit.remove
            names.update(found.renamed)
            return self._once(found)
        for alias in node.names:
            name = _dotted(alias.name)
            inner = self._module(f"{source}.{name}" if source else name)
            if inner is not None:
                modules[alias_name(alias)] = inner
                before += self._once(inner)
            elif found is not None:
                before += self._once(found)
                target = found.renamed.get(name, name)
                if name not in found.bound:
                    target = self._through(found, name)
                if target != alias_name(alias):
                    names[alias_name(alias)] = target
            else:
                continue
            drop[alias] = edit.remove
        return before

    def _through(self, module: _Module, name: str) -> str:
        """The name in the joined file of what `module` has itself imported under `name`."""
        for node in walk(module.tree):
            if isinstance(node, cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
                for alias in node.names:
                    if alias_name(alias) != name:
                        continue
                    source = _dotted(node.module)
                    if node.relative:
                        source = ".".join(filter(None, [module.package, source]))
                    found = self._module(source)
                    if found is None:
                        return name  # the same import is in the joined file
                    inner = _dotted(alias.name)
                    return found.renamed.get(inner, inner)
        return name

    def _once(self, module: _Module) -> list[cst.BaseStatement]:
        if module.name in self._done:
            return []
        self._done.add(module.name)
        return self._statements(module)


def _once_each(body: Sequence[cst.BaseStatement]) -> list[cst.BaseStatement]:
    """`body` with each import that stands in it twice only where it is first."""
    kept: list[cst.BaseStatement] = []
    seen: set[str] = set()
    for node in body:
        if isinstance(node, cst.SimpleStatementLine) and all(
            isinstance(one, cst.Import | cst.ImportFrom) for one in node.body
        ):
            text = cst.Module([node]).code.strip()
            if text in seen:
                continue
            seen.add(text)
        kept.append(node)
    return kept


def _above(dotted: str) -> Iterator[str]:
    parts = dotted.split(".")
    for end in range(1, len(parts)):
        yield ".".join(parts[:end])


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _dotted(node: cst.CSTNode | None) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""


class _Renamer(cst.CSTTransformer):
    """Gives names of other modules the form that they have in the joined file."""

    def __init__(
        self, modules: Mapping[str, _Module], names: Mapping[str, str],
        drop: dict[cst.CSTNode, edit.Action],
    ) -> None:  # fmt: skip
        super().__init__()
        self._modules = modules
        self._names = names
        self._drop = drop
        self._attributes: set[cst.CSTNode] = set()
        self._last: set[cst.CSTNode] = set()
        """The last names of imports that lose some: a comma behind them is refused."""

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Attribute):
            self._attributes.add(node.attr)
        elif isinstance(node, cst.Arg) and node.keyword is not None:
            self._attributes.add(node.keyword)
        kept = edit.kept_names(node, self._drop)
        if kept:
            self._last.add(kept[-1])
        elif kept is not None:
            self._drop[node] = edit.remove
        return node not in self._drop

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        if original_node in self._drop:
            return cst.RemoveFromParent()
        if original_node in self._last:
            return updated_node.with_changes(comma=cst.MaybeSentinel.DEFAULT)
        if isinstance(original_node, cst.Attribute):
            module = self._modules.get(_dotted(original_node.value))
            if module is not None:
                name = original_node.attr.value
                return cst.Name(module.renamed.get(name, name))
        if isinstance(original_node, cst.Name) and original_node not in self._attributes:
            return updated_node.with_changes(
                value=self._names.get(original_node.value, original_node.value)
            )
        return edit.whole(updated_node)
