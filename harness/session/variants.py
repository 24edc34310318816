"""The variants of an outside command, which a TOML file describes.

    command = "python train.py --steps 20"

    [variants.baseline_update]

    [variants.uncompiled_step]
    env = { MLX_DISABLE_COMPILE = "1" }

    [variants.sgd_step]
    args = ["--optimizer", "sgd"]

A variant that has the name of a scenario of the ladder stands for it in the diagnosis. A scenario
without a variant is untested.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.model import Command, ScenarioInfo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_COMMON = {"command", "env", "pattern", "inject", "variants"}
_OWN = {"command", "args", "env"}


def load(path: Path) -> tuple[ScenarioInfo, ...]:
    """The variants that the file describes. Raises UsageError when it has a mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    try:
        return parse(text)
    except (tomllib.TOMLDecodeError, UsageError) as error:
        raise UsageError(f"{path}: {error}") from None


def parse(text: str) -> tuple[ScenarioInfo, ...]:
    """The variants in the order of the file, each as an outside command.

    Raises UsageError or tomllib.TOMLDecodeError.
    """
    given = tomllib.loads(text)
    _check_keys("the file", given, _COMMON)
    variants = given.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise UsageError("it has no variants; add a table [variants.NAME] for each")
    common = _words("command", given["command"]) if "command" in given else None
    pattern, inject = given.get("pattern"), given.get("inject", True)
    if not isinstance(pattern, str | None) or not isinstance(inject, bool):
        raise UsageError("pattern must be a string, and inject true or false")
    infos = []
    for name, variant in variants.items():
        if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII):
            raise UsageError(f"variant {name!r}: use a name of letters, digits, _, - and .")
        if not isinstance(variant, dict):
            raise UsageError(f"variant {name} must be a table")
        _check_keys(f"variant {name}", variant, _OWN)
        argv = _words("command", variant["command"]) if "command" in variant else common
        if argv is None:
            raise UsageError(
                f"variant {name} has no command; add one to it, or one for all variants"
            )
        command = Command(
            argv=(*argv, *_words("args", variant.get("args", []))),
            variables=_variables(given) | _variables(variant),
            pattern=pattern,
            inject=inject,
        )
        infos.append(
            ScenarioInfo(name=name, path="", summary="", doc="", source="", command=command)
        )
    return tuple(infos)


def _check_keys(name: str, table: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise UsageError(f"{name} has the unknown key {unknown[0]}; use {', '.join(sorted(known))}")


def _words(key: str, value: object) -> tuple[str, ...]:
    """A list of words, or a line that is split as a shell splits it; no shell runs it."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise UsageError(f"cannot split the {key} {value!r}: {error}") from None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UsageError(f"{key} must be a string or a list of strings")
    if key == "command" and not value:
        raise UsageError("command must not be empty")
    return tuple(value)


def _variables(table: Mapping[str, Any]) -> dict[str, str]:
    env = table.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise UsageError("env must be a table of strings")
    return env
