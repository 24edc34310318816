"""Imports form a tree: whichever module is imported first, it finds all the others whole."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

PACKAGE = Path(harness.__file__).parent
INSIDE = PACKAGE / "inject"  # runs in a command's own Python, where there is no package


def name(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


MODULES = {name(file): file for file in PACKAGE.rglob("*.py") if INSIDE not in file.parents}


def imported(statements: list[ast.stmt]) -> Iterator[str]:
    """What is imported when a module is, and not when one of its functions runs."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (one.name for one in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield from (f"{statement.module}.{one.name}" for one in statement.names)
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from imported(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for part in ("body", "orelse", "handlers", "finalbody"):
                yield from imported(getattr(statement, part, []))


def needs(module: str) -> set[str]:
    """The modules that importing `module` imports; with each the packages that it lies in."""
    found = set()
    for one in imported(ast.parse(MODULES[module].read_text()).body):
        parts = one.split(".")
        found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return {one for one in found & MODULES.keys() if not f"{module}.".startswith(f"{one}.")}


def test_imports_form_a_tree():
    graph = {module: needs(module) for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        for one in sorted(graph[module] - done):
            visit(one, (*path, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())
    assert "harness.model" in done
    model = {module for module in graph if f"{module}.".startswith("harness.model.")}
    assert all(graph[module] <= model for module in model)


@pytest.mark.parametrize("first", ["harness.api", "harness.pytest_plugin", "harness.cli"])
def test_what_people_import_first_is_whole(first):
    done = subprocess.run([sys.executable, "-c", f"import {first}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
