"""The layers of the package: what may import what, and who may ask for the platform."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

pytestmark = pytest.mark.unmeasured  # reads the package, and runs nothing of it
PACKAGE = Path(harness.__file__).parent
LAYERS = (
    ("errors", "stats", "syscalls", "model"),
    ("inject", "text"),
    ("beats", "logs", "death"),
    ("observe",),
    ("stacks",),
    ("detect",),
    ("scenario", "memory"),
    ("analysis", "privacy", "training"),
    ("report", "worker"),
    ("supervise",),
    ("session", "attach", "record"),
    ("releases",),
    ("flips", "reduce"),
    ("investigate",),
    ("api",),
    ("cli", "pytest_plugin"),
    ("__main__",),
)
"""A module imports its own package and those of the layers above it in this table."""
ALONE = (
    "harness.inject.hook.sitecustomize",
    "harness.inject.inside.flips",
    "harness.inject.inside.launcher",
    "harness.inject.inside.trainer",
    "harness.inject.inside.versions",
    "harness.inject.inside.writer",
    "harness.record.child",
    "harness.reduce.fence.nursery",
    "harness.reduce.fence.sitecustomize",
)
"""What runs as a file of its own, where the package cannot be imported or must not be."""
PLATFORM = {
    "sys": {"platform"},
    "platform": {"system", "machine", "uname", "platform"},
    "os": {"uname", "name"},
}
GUARD = "harness.supervise.guard"
"""What starts with each worker, and so imports as little as it can."""
MOST_LINES = 400
MOST_IMPORTS = 15
MOST_AT_THE_TOP = 8


def name(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


MODULES = {name(file): file for file in PACKAGE.rglob("*.py")}


@functools.cache
def parsed(module: str) -> ast.Module:
    """The syntax tree, in which every import has its full name, but for what runs alone."""
    file = MODULES[module]
    tree = ast.parse(file.read_text())
    if module in ALONE:
        return tree
    inside = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = inside[: len(inside) - node.level + 1]
            node.module = ".".join([*above, *filter(None, [node.module])])
    return tree


def imported(nodes: list[ast.stmt], always: bool = False) -> Iterator[str]:
    """The names of what is imported; `always`: by importing the module, not by calling it."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif always and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imported(node.orelse, always)
        elif not always or not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ):
            for part in ("body", "orelse", "handlers", "finalbody"):
                yield from imported(getattr(node, part, []), always)


@functools.cache
def needs(module: str, always: bool = False) -> frozenset[str]:
    """The modules that `module` imports, each by its full name."""
    wanted = set(imported(parsed(module).body, always))
    wanted |= {dotted.rpartition(".")[0] for dotted in wanted - MODULES.keys()}
    return frozenset(wanted & MODULES.keys() - {module})


def with_packages(modules: frozenset[str]) -> set[str]:
    """`modules` and the packages in which they lie: Python imports these as well."""
    return {
        ".".join(parts[:end])
        for parts in (module.split(".") for module in modules)
        for end in range(1, len(parts) + 1)
    }


def top(module: str) -> str:
    """The package of the table in which a module lies; empty for `harness` itself."""
    return module.split(".")[1] if "." in module else ""


def test_imports_form_a_tree():
    """Whichever module is imported first, it sees all the others whole."""
    graph = {
        module: {
            one
            for one in with_packages(needs(module, always=True)) & MODULES.keys()
            if not f"{module}.".startswith(f"{one}.")
        }
        for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        for one in sorted(graph[module] - done):
            visit(one, (*path, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())
    assert "harness.model" in done


def test_each_package_has_a_place_in_the_layers():
    assert {top(module) for module in MODULES} - {""} == {one for layer in LAYERS for one in layer}


MAP = (PACKAGE.parent / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
TOUCHES = frozenset(
    ("ctypes", "multiprocessing", "psutil", "shutil", "socket", "subprocess", "tempfile",
     "threading", "time")
)  # fmt: skip


def rows_of_the_map() -> list[tuple[list[str], str]]:
    """The packages of each row, and what they touch."""
    table = MAP.partition("touches processes, files or clocks |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.strip().splitlines()[1:]]
    return [(re.findall(r"`(\w+)(?:/|\.py)?`", row[1]), row[3].strip()) for row in rows]


def test_the_map_shows_what_there_is():
    """Each package has a row, in the order of the layers, and each module that is named exists."""
    named = [package for packages, _ in rows_of_the_map() for package in packages]
    assert sorted(named) == sorted({top(module) for module in MODULES} - {"", "__main__"})
    for place, package in enumerate(named):
        own = [module for module in MODULES if top(module) == package]
        imports = {top(other) for module in own for other in needs(module)}
        assert not imports & set(named[place + 1 :]), package
    folders = (PACKAGE, PACKAGE.parent / "tests")
    files = [file.as_posix() for folder in folders for file in folder.rglob("*.py")]
    modules = set(re.findall(r"`([\w/]+\.py)`", MAP)) - {"mlx_lm/__init__.py"}
    assert not {one for one in modules if not any(file.endswith(f"/{one}") for file in files)}


def test_what_touches_nothing_by_the_map_imports_nothing_that_does():
    calm = {
        one for packages, what in rows_of_the_map() if what.startswith("no") for one in packages
    }
    assert {"detect", "analysis", "model"} <= calm
    wrong = {
        module: touched
        for module in MODULES
        if top(module) in calm
        and (
            touched := {name.partition(".")[0] for name in imported(parsed(module).body)} & TOUCHES
        )
    }
    assert wrong == {}


def allowed(package: str) -> set[str]:
    """The packages that a module of `package` may import beside its own."""
    depth = next((depth for depth, layer in enumerate(LAYERS) if package in layer), len(LAYERS))
    return {below for layer in LAYERS[:depth] for below in layer}


def test_imports_point_down():
    """Also those inside functions: a layer that is reached for late is reached for all the same."""
    wrong = {
        module: upward
        for module in MODULES
        if (upward := {*map(top, needs(module))} - {"", top(module)} - allowed(top(module)))
    }
    assert wrong == {}


def questions(tree: ast.Module) -> list[str]:
    """Where a module asks which platform it runs on."""
    asked = []
    names = {"sys": "sys", "platform": "platform", "os": "os"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module in PLATFORM:
            asked += [a.name for a in node.names if a.name in PLATFORM[node.module]]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in PLATFORM.get(names.get(node.value.id, ""), ())
        ):
            asked.append(ast.unparse(node))
    return asked


def test_the_question_for_the_platform_is_recognized():
    for text in ("import sys; sys.platform", "import os as o\nif o.uname(): pass",
                 "from platform import machine", "import platform; platform.system()"):  # fmt: skip
        assert questions(ast.parse(text)), text
    assert not questions(ast.parse("import sys, platform; sys.path, platform.node()"))


def test_only_observe_asks_for_the_platform():
    may = {*ALONE, "harness.supervise.guarding.main"}
    others = [module for module in MODULES if top(module) != "observe" and module not in may]
    wrong = {module: asked for module in others if (asked := questions(parsed(module)))}
    assert wrong == {}


@pytest.mark.parametrize("module", ALONE)
def test_what_runs_alone_imports_nothing_of_the_package(module):
    wanted = {one.partition(".")[0] for one in imported(parsed(module).body)}
    beside = {file.stem for file in MODULES[module].parent.glob("*.py")}
    assert wanted - beside <= sys.stdlib_module_names | {"__future__"}


def test_a_guard_imports_nothing_but_its_own_parts():
    """They import no other package, but for the calls of macOS there."""
    names = ("kernel", "layouts", "socket_layouts")
    kernel = {f"harness.observe.macos.{name}" for name in names}
    seen, todo = set(), [GUARD]
    while todo:
        module = todo.pop()
        seen.add(module)
        todo += needs(module) - seen
        wanted = {one.partition(".")[0] for one in imported(parsed(module).body)}
        assert wanted <= sys.stdlib_module_names | {"__future__", "harness"}, module
    assert {one for one in seen if not one.startswith(GUARD)} <= kernel
    assert f"{GUARD}ing.linux" in seen


def test_modules_stay_small():
    large = {
        module
        for module, file in MODULES.items()
        if len(file.read_text().splitlines()) > MOST_LINES or len(needs(module)) > MOST_IMPORTS
    }
    assert large == set(), f"over {MOST_LINES} lines or {MOST_IMPORTS} imports: split it"


def test_thresholds_of_detection_stand_in_the_policy():
    """Seconds, shares and rates do. Whole numbers that bound work stand where the work is."""
    loose = {
        module: ast.unparse(node)
        for module in MODULES
        if top(module) == "detect" and module != "harness.detect.policy"
        for node in parsed(module).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant) and isinstance(part.value, float)
    }
    assert loose == {}


def test_few_modules_stand_at_the_top():
    loose = [file.name for file in PACKAGE.glob("*.py") if file.name != "__init__.py"]
    assert len(loose) <= MOST_AT_THE_TOP, loose


def test_each_module_can_be_imported_and_says_what_it_is():
    """Also those that a run imports late, or in a process of their own."""
    scripts = {*ALONE, "harness.__main__", "harness.report.repro.alone"}
    for module in sorted(MODULES.keys() - scripts):
        assert importlib.import_module(module).__doc__, module


@pytest.mark.parametrize("first", ["harness.api", "harness.pytest_plugin", "harness.cli"])
def test_what_people_import_first_is_whole(first):
    done = subprocess.run([sys.executable, "-c", f"import {first}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_programs_that_tests_write_import_what_there_is():
    """Code in a string is not seen by ruff, and one that fails to import may look like a pass."""
    tests = Path(__file__).parents[1]
    asked = {
        (file.name, found[1], name.strip())
        for file in tests.rglob("*.py")
        if re.search(r"from harness[\w.]* import", text := file.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for found in re.finditer(r"from (harness[\w.]*) import (\w+(?:, \w+)*)", node.value)
        for name in found[2].split(",")
    }
    assert len(asked) > 5
    for file, module, named in asked:
        assert f"{module}.{named}" in MODULES or hasattr(importlib.import_module(module), named), (
            f"{file}: from {module} import {named}"
        )


def test_no_two_files_of_tests_have_one_name():
    """pytest could not import the second one when both are collected in one run."""
    names = Counter(file.name for file in Path(__file__).parents[1].glob("*/test_*.py"))
    assert [name for name, number in names.items() if number > 1] == []
