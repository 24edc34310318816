"""The program to reduce as one text: a script, a scenario, or the file of a command."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import UsageError
from harness.model import Settings
from harness.observe import process_names
from harness.reduce import arguments, join
from harness.report import repro
from harness.scenario import load
from harness.session import plan
from harness.text.units import size

DATA_BYTES = 64 * 2**20
"""The most bytes of files that each run gets a copy of."""


class Target(NamedTuple):
    """The program as a whole."""

    name: str
    """The name of its file."""
    text: str
    """The program with all of its local modules and arguments."""
    lines: int
    """The lines of the file, and of the local modules that went into it."""
    python: tuple[str, ...]
    """The words that run a file."""
    data: tuple[tuple[Path, str], ...]
    """Files that it names, each with the name that it has for it."""
    of_scenario: bool = False


def of_file(path: Path, settings: Settings | None) -> Target:
    """The target of a scenario, by its settings, or of a script. Raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{path} is no Python program: {error}") from error
    if not load.names(tree) & {"make_step"}:
        return _of_script(path, text, (sys.executable,), ())
    info = load.load(path)
    chosen = load.apply(settings or Settings(), info)
    plan.check(chosen)
    try:
        whole = repro.script(info, chosen, load.siblings(info))
    except ValueError as error:
        raise UsageError(f"{path} cannot be made a program of its own: {error}") from error
    lines = len(text.splitlines())
    return Target(path.name, whole, lines, (sys.executable,), (), of_scenario=True)


def of_command(words: Sequence[str]) -> Target:
    """The target of a command that runs a file of Python. Raises UsageError."""
    for number, word in enumerate(words):
        path = Path(word)
        if number and words[number - 1] == "-m":
            path = _module_file(word) or path
            before = words[: number - 1]
        else:
            before = words[:number]
        if path.suffix == ".py" and path.is_file():
            if not before:
                raise UsageError(f"put python before {word}: {word} is reduced as its program")
            text = path.read_text(encoding="utf-8")
            return _of_script(path, text, tuple(before), tuple(words[number + 1 :]))
    raise UsageError(
        "the command runs no file of Python that is here; give one such as: -- python train.py"
    )


def with_python(words: Sequence[str], python: str) -> tuple[str, ...]:
    """`words`, which run a file, with another Python; empty where none of them is one."""
    at = next((n for n, word in enumerate(words) if process_names.is_python(Path(word).name)), None)
    return () if at is None else (*words[:at], python, *words[at + 1 :])


def _module_file(dotted: str) -> Path | None:
    base = Path(*dotted.split("."))
    return next((f for f in (base.with_suffix(".py"), base / "__main__.py") if f.is_file()), None)


def _of_script(path: Path, text: str, python: tuple[str, ...], words: tuple[str, ...]) -> Target:
    sources: dict[str, str] = {}
    folders = [path.resolve().parent, Path.cwd()]

    def find(name: str) -> str | None:
        for folder in folders:
            base = folder.joinpath(*name.split("."))
            for file in (base.with_suffix(".py"), base / "__init__.py"):
                if file.is_file() and file != path.resolve():
                    sources[str(file)] = file.read_text(encoding="utf-8")
                    return sources[str(file)]
        return None

    whole = arguments.given(join.joined(text, find), words)
    lines = sum(len(source.splitlines()) for source in [text, *sources.values()])
    return Target(path.name, whole, lines, python, _data(whole))


def _data(text: str) -> tuple[tuple[Path, str], ...]:
    """The files and folders below the working folder that the program names in its strings."""
    found: dict[str, Path] = {}
    left = DATA_BYTES
    here = Path.cwd().resolve()
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        name = node.value
        if not name or len(name) > 255 or "\n" in name or "\0" in name or name in found:
            continue
        path = here / name
        if Path(name).is_absolute() or path.resolve() == here or path.suffix == ".py":
            continue
        if not path.exists() or not path.resolve().is_relative_to(here):
            continue
        left -= _bytes(path)
        if left < 0:
            raise UsageError(
                f"the files that the program names are larger than {size(DATA_BYTES)}, and "
                "each run gets a copy: let it name smaller ones"
            )
        found[os.path.normpath(name)] = path
    return tuple((path, name) for name, path in found.items())


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    total = 0
    for file in path.rglob("*"):
        if file.is_file():
            total += file.stat().st_size
        if total > DATA_BYTES:
            break
    return total
