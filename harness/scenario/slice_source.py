"""The text of functions that stand in files, with all of their own modules that they use.

It is for reading, and for running elsewhere: of each module of the project those statements of its
top level are taken which bind what is used, in their order. What is installed is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.scenario.from_notebook import names

Function = tuple[str, Path, str]
"""The name of its module, that one's file, and its own name."""
_INSTALLED = frozenset(
    Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)

_PACKAGES = ("site-packages", "dist-packages")


def source(functions: Sequence[Function]) -> str:
    """A text that defines `functions`.

    Raises UsageError when it cannot be had, or when two modules mean different things by a name.
    """
    slicer = _Slicer()
    for module, file, name in functions:
        slicer.take(slicer.module(module, file), name)
    return slicer.text()


class _Module:
    """One of the project's modules, by the statements of its top level."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self.package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        try:
            self.source = file.read_text(encoding="utf-8")
            self.body = ast.parse(self.source).body
        except (OSError, SyntaxError, ValueError) as error:
            raise UsageError(f"the source of {name} cannot be read") from error
        self.lines = self.source.splitlines(keepends=True)
        self.binds: dict[str, list[ast.stmt]] = {}
        for node in self.body:
            if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
                continue  # what it does as a script
            for made in bound(node):
                self.binds.setdefault(made, []).append(node)

    def text(self, node: ast.stmt) -> str:
        first = min(
            [node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))]
        )
        return "".join(self.lines[first - 1 : node.end_lineno]).rstrip()


class _Slicer:
    def __init__(self) -> None:
        self._modules: dict[str, _Module] = {}
        self._taken: dict[str, dict[int, str]] = {}
        """The statements of a module by their line, by module, in the order in which they are
        needed."""
        self._imports: dict[str, None] = {}
        self._aliases: dict[str, list[str]] = {}
        """The lines after a module's statements, by module: other names for it and for its
        contents."""
        self._spaces: dict[tuple[str, str], dict[str, None]] = {}
        self._owner: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._future = False

    def text(self) -> str:
        parts = ["from __future__ import annotations"] if self._future else []
        parts += ["from types import SimpleNamespace"] if self._spaces else []
        parts += list(self._imports)
        blocks = ["\n".join(parts)] if parts else []
        for module, taken in self._taken.items():
            blocks += [taken[line] for line in sorted(taken)]
            blocks += self._aliases.get(module, [])
            blocks += [
                f"{name} = SimpleNamespace({', '.join(f'{name}={name}' for name in sorted(used))})"
                for (name, of), used in self._spaces.items()
                if of == module
            ]
        return "\n\n\n".join(blocks) + "\n"

    def module(self, name: str, file: Path) -> _Module:
        if name not in self._modules:
            made = self._modules[name] = _Module(name, file)
            self._future |= any(
                isinstance(node, ast.ImportFrom) and node.module == "__future__"
                for node in made.body
            )
        return self._modules[name]

    def take(self, module: _Module, name: str) -> None:
        """Take the statement that binds `name` in `module`, after all that this uses itself."""
        if (module.name, name) in self._seen:
            return
        self._seen.add((module.name, name))
        for node in module.binds.get(name, ()):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                self._own(name, module.name)
                self._statement(module, node)
        # What else it needs is above it, also where that is found later.
        self._taken[module.name] = self._taken.pop(module.name, {})

    def _statement(self, module: _Module, node: ast.stmt) -> None:
        text = module.text(node)
        taken = self._taken.setdefault(module.name, {})
        if node.lineno in taken:
            return
        taken[node.lineno] = text
        for name in bound(node):
            self._own(name, module.name)
        for used in sorted(names(ast.unparse(node))):
            for other in module.binds.get(used, ()):
                if isinstance(other, ast.Import | ast.ImportFrom):
                    self._imported(module, other, used, node)
            self.take(module, used)

    def _imported(
        self, module: _Module, node: ast.Import | ast.ImportFrom, name: str, user: ast.stmt
    ) -> None:
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) != name:
                continue
            if isinstance(node, ast.Import):
                file = _own_file(alias.name)
                if file is None:
                    # One that is imported by its long name brings the first of its parts.
                    owner = None if alias.asname else f"import {name}"
                    self._bring(name, f"import {alias.name}", alias.asname, owner)
                elif alias.asname is None and "." in alias.name:
                    raise UsageError(f"{module.name} imports {alias.name} by its long name")
                else:
                    self._space(name, self.module(alias.name, file), user)
                continue
            at = "." * node.level + (node.module or "")
            whole = importlib.util.resolve_name(at, module.package) if node.level else at
            file, long = _own_file(whole), f"{whole}.{alias.name}"
            below = _own_file(long) if long in sys.modules else None
            if below is not None:
                self._space(name, self.module(long, below), user)
            elif file is None:
                self._bring(name, f"from {whole} import {alias.name}", alias.asname)
            else:
                self._member(name, self.module(whole, file), alias.name)

    def _bring(self, name: str, text: str, asname: str | None, owner: str | None = None) -> None:
        text += f" as {asname}" if asname else ""
        if not text.startswith("from __future__"):
            self._own(name, owner or text)
            self._imports[text] = None

    def _member(self, name: str, module: _Module, member: str) -> None:
        for node in module.binds.get(member, ()):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._imported(module, node, member, node)
        self.take(module, member)
        if name != member:
            self._own(name, f"{module.name}.{member}")
            alias = f"{name} = {member}"
            if alias not in self._aliases.setdefault(module.name, []):
                self._aliases[module.name].append(alias)

    def _space(self, name: str, module: _Module, user: ast.stmt) -> None:
        """A module of the project, of which its members are used by their long names."""
        self._own(name, f"the module {module.name}")
        used = self._spaces.setdefault((name, module.name), {})
        members = [
            node
            for node in ast.walk(user)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == name
        ]
        bare = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(user))
        if bare != len(members):
            raise UsageError(f"the module {module.name} is used as a whole")
        for member in members:
            if member.attr not in module.binds:
                raise UsageError(f"{module.name}.{member.attr} stands in no statement of its own")
            used[member.attr] = None
            self._member(member.attr, module, member.attr)

    def _own(self, name: str, owner: str) -> None:
        if self._owner.setdefault(name, owner) != owner:
            raise UsageError(f"{name} is one thing in {self._owner[name]}, another in {owner}")


def bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement of a module's top level binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    else:
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                yield child.id
            elif isinstance(child, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
                yield from bound(child)


def _own_file(name: str) -> Path | None:
    """The file of a module of the project; None for one that is installed, or that is none."""
    if name.partition(".")[0] in ("mlx", "harness"):
        return None
    module = sys.modules.get(name)
    origin = getattr(module, "__file__", None)
    if module is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return None
        origin = spec.origin if spec is not None else None
    if origin is None or not origin.endswith(".py"):
        return None
    parents = Path(origin).resolve().parents
    installed = any(folder in _INSTALLED or folder.name in _PACKAGES for folder in parents)
    return None if installed else Path(origin)
