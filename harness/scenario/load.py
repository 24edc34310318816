"""Scenario files: their content, and the place of the shipped ones. Nothing here imports a
scenario.

A scenario is a Python file that defines `make_step(training)`, which returns the training step, a
function of one batch that returns the loss. Its docstring says what it varies. It may define
`batches(training)`, and three literals: `SETTINGS`, overrides of the run's settings, `EXPECTS`,
codes of findings that belong to it, and for a control `VERDICT`, what must come of it. They are
read from the syntax tree, because importing the file would import mlx.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import UsageError
from harness.model import Expected, OwnStep, ScenarioInfo, Settings
from harness.text import invocation

BASELINE = "baseline_update"
OWN, STEP = "own_scenario", "_own_step"
"""The modules by which a variation has the user's file, and the ways to change its step."""


def root() -> Path:
    """The folder of the shipped scenarios: inside the installed package, or beside it."""
    here = Path(__file__).resolve().parents[1]
    installed = here / "scenarios"
    return installed if installed.is_dir() else here.parent / "scenarios"


def folders() -> tuple[Path, ...]:
    """The folders in which a scenario is looked up by its name."""
    return (root() / "ladder", root() / "controls")


def shipped() -> dict[str, Path]:
    """The files of all shipped scenarios by name; none of them is read."""
    return {file.stem: file for folder in folders() for file in _files(folder)}


def ladder() -> tuple[ScenarioInfo, ...]:
    """All scenarios of the ladder, the baseline first."""
    infos = [load(path) for path in _files(root() / "ladder")]
    return tuple(sorted(infos, key=lambda info: (info.name != BASELINE, info.name)))


def controls() -> tuple[ScenarioInfo, ...]:
    """All controls, by name."""
    return tuple(load(path) for path in _files(root() / "controls"))


def variations(path: Path) -> tuple[ScenarioInfo, ...]:
    """The step of the user's scenario file in every variation that can be made of any step.

    They have the names of the ladder's scenarios for which they stand. Raises UsageError as `load`
    does.
    """
    mine = load(path)
    own = OwnStep(path=mine.path, source=mine.source)
    return tuple(
        msgspec.structs.replace(
            info,
            own=own,
            expects=(*mine.expects, *info.expects),
            settings=mine.settings | info.settings,
        )
        for info in map(load, variation_files())
    )


def variation_files() -> list[Path]:
    """The files of the variations that can be made of any step."""
    return _files(root() / "own")


def is_shipped(info: ScenarioInfo) -> bool:
    """True if this is a file of the ladder or a control, unchanged."""
    file = shipped().get(info.name)
    return info.own is None and file is not None and file.read_text("utf-8") == info.source


def again(info: ScenarioInfo) -> ScenarioInfo:
    """`info` as its files say now. Raises UsageError as `load` does."""
    if info.own is None:
        return load(Path(info.path))
    infos = {one.name: one for one in variations(Path(info.own.path))}
    if info.name not in infos:
        raise UsageError(f"there is no variation {info.name} of {info.own.path}")
    return infos[info.name]


def find(targets: Iterable[str]) -> tuple[ScenarioInfo, ...]:
    """The scenarios that `words` name: names of shipped ones, files, or folders of files.

    Raises UsageError when one is unknown or broken, or when two have the same name.
    """
    infos = [info for target in targets for info in _find(target)]
    names = [info.name for info in infos]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two scenarios are named {name}: rename one of the files")
    return tuple(infos)


def _find(target: str) -> list[ScenarioInfo]:
    path = Path(target)
    if path.is_dir():
        infos = [load(file) for file in _files(path)]
        if not infos:
            raise UsageError(f"no scenario in the folder {target}: name a folder with *.py files")
        return infos
    if target.endswith(".py") or "/" in target:
        if not path.is_file():
            raise UsageError(
                f"no such scenario file: {target} (see the shipped ones with: "
                f"{invocation.command('list')})"
            )
        return [load(path)]
    known = shipped()
    if target not in known and path.is_file():
        raise UsageError(f"{target} is no scenario: a scenario is a file *.py")
    if target not in known:
        close = difflib.get_close_matches(target, known, n=3)
        hint = (
            f" (did you mean {' or '.join(close)}?)"
            if close
            else f" (see: {invocation.command('list')})"
        )
        raise UsageError(f"unknown scenario {target}{hint}")
    return [load(known[target])]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def load(path: Path) -> ScenarioInfo:
    """Read a scenario file without running it.

    Raises UsageError when it cannot be read or parsed, has no `make_step`, or when its SETTINGS,
    EXPECTS or VERDICT are not literals of the right kind.
    """
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not Python: it is no text in UTF-8") from None
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise UsageError(
            f"{path}{f':{line}' if line else ''}: not Python: {error.args[0]}"
        ) from error
    if "make_step" not in names(tree):
        raise UsageError(
            f"{path} has no make_step(training): define it, as docs/guide/scenarios.md shows"
        )
    doc = ast.get_docstring(tree) or ""
    settings = _literal(tree, "SETTINGS", {}, path)
    expects = _literal(tree, "EXPECTS", (), path)
    if not isinstance(settings, dict):
        raise UsageError(f"{path}: SETTINGS must be a dict, such as {{'steps': 5}}")
    if not isinstance(expects, list | tuple | set):
        raise UsageError(f"{path}: EXPECTS must be a tuple of strings, such as ('loss_flat',)")
    info = ScenarioInfo(
        name=path.stem,
        path=str(path),
        summary=doc.partition("\n")[0],
        doc=doc,
        source=source,
        expects=tuple(str(code) for code in expects),
        settings=settings,
        verdict=_verdict(_literal(tree, "VERDICT", None, path), path),
    )
    apply(Settings(), info)
    return info


def siblings(info: ScenarioInfo) -> dict[str, str]:
    """The sources of the modules that `info` may import, by module: those beside it, and those
    shipped."""
    path = info.path if info.own is None else info.own.path
    beside = Path(path.replace("<project>", ".", 1)).expanduser().parent
    sources = {}
    for folder in (*reversed(folders()), *((beside,) if path else ())):
        for file in sorted(folder.glob("*.py")):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                sources[file.stem] = file.read_text(encoding="utf-8")
    if info.own is not None:
        sources[STEP] = (root() / "own" / f"{STEP}.py").read_text(encoding="utf-8")
        sources[OWN] = info.own.source
    return sources


def apply(settings: Settings, info: ScenarioInfo) -> Settings:
    """`settings` with the scenario's own overrides. Raises UsageError when one does not fit."""
    try:
        return msgspec.convert(msgspec.to_builtins(settings) | info.settings, type=Settings)
    except msgspec.ValidationError as error:
        problem = mistake(error, Settings)
        raise UsageError(f"{info.path}: SETTINGS: {problem}") from error


def mistake(error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> str:
    """Describe the error in what somebody wrote for a `kind`: `steps: expected int, got str`."""
    text = str(error).replace("`", "")
    unknown = re.fullmatch(r"Object contains unknown field (\w+)", text)
    if unknown is None:
        problem, _, place = text.partition(" - at $.")
        return f"{place}: {problem[0].lower()}{problem[1:]}" if place else problem
    known = kind.__struct_fields__
    close = difflib.get_close_matches(unknown[1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return f"{unknown[1]} is unknown ({hint})"


def _verdict(literal: Any, path: Path) -> Expected | None:
    """VERDICT as its type; one word where there may be several may stand without a tuple."""
    if literal is None:
        return None
    if isinstance(literal, dict):
        literal = {
            key: (value,)
            if key in ("outcome", "cause", "findings", "says") and isinstance(value, str)
            else value
            for key, value in literal.items()
        }
    try:
        return msgspec.convert(literal, type=Expected)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: VERDICT: {mistake(error, Expected)}") from error


def names(tree: ast.Module) -> set[str]:
    """Names that the module's top level binds."""
    bound: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            bound.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            bound.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return bound


def _literal(tree: ast.Module, name: str, default: Any, path: Path) -> Any:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            try:
                return ast.literal_eval(node.value)
            except ValueError as error:
                raise UsageError(
                    f"{path}:{node.lineno}: {name} must be a literal: write the values out"
                ) from error
    return default
