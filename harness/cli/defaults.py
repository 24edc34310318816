"""`[tool.harness]` of pyproject.toml: the project's own defaults for options of the command line.

A key is the name of an option without its dashes, and is a default for each command that has the
option. What is given on the command line counts more.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "pyproject.toml"
NO_DEFAULTS = (
    "help", "json", "continue", "full", "debug", "variants", "quiet", "verbose", "name",
    "signal-stacks",
)  # fmt: skip
"""Options that concern one call, or that publish what is private."""


def find() -> tuple[Path, Mapping[str, Any]] | None:
    """The nearest pyproject.toml at or above the working folder, with its `[tool.harness]`.

    None without one. Raises UsageError when it cannot be read as TOML.
    """
    try:
        start = Path.cwd()
    except FileNotFoundError:
        return None  # it was deleted
    file = next((at / FILE for at in (start, *start.parents) if (at / FILE).is_file()), None)
    if file is None:
        return None
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("harness")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file}: {error}") from None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise UsageError(f"{file}: [tool.harness] must be a table")
    return file, table


def apply(
    parser: argparse.ArgumentParser, file: Path, table: Mapping[str, Any], known: set[str]
) -> None:
    """Make what `table` of `file` has the defaults of `parser`.

    `known` has the options of all commands. Raises UsageError for an unknown option, and for a
    value that the option does not take.
    """
    actions = options(parser)
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), 1)
            hint = f"did you mean {close[0]}?" if close else "see: harness COMMAND --help"
            raise UsageError(f"{file}: [tool.harness] has an unknown option {key}; {hint}")
        if name in actions:
            action = actions[name]
            action.default = _value(action, value, f"{file}: [tool.harness] {key}")


def options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of `parser` that can have a default, by their names without dashes."""
    named = {
        text[2:]: action
        for action in parser._actions
        for text in action.option_strings
        if text.startswith("--")
    }
    return {name: action for name, action in named.items() if name not in NO_DEFAULTS}


def _value(action: argparse.Action, value: Any, where: str) -> Any:
    if action.nargs == 0:  # it is on or off
        if not isinstance(value, bool):
            raise UsageError(f"{where} must be true or false")
        return action.const if value else not action.const
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{where} must be a text or a number")
    convert = action.type if callable(action.type) else str
    try:
        made = convert(str(value))
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"{where}: {error}") from None
    if action.choices is not None and made not in action.choices:
        choices = ", ".join(map(str, action.choices))
        raise UsageError(f"{where} must be one of {choices}, not {value}")
    return made
