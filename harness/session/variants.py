"""Variants of an outside command, as a TOML file describes them: what changes, by name.

    command = "python train.py --steps 20"

    [variants.baseline_update]

    [variants.uncompiled_step]
    env = { MLX_DISABLE_COMPILE = "1" }

    [variants.sgd_step]
    args = ["--optimizer", "sgd"]

A variant that is named like a scenario of the ladder stands for it in the diagnosis. What has no
variant there is untested.
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
    """The variants that the file describes. Raises UsageError when it cannot be used."""
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
    _known("the file", given, _COMMON)
    variants = given.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise UsageError("no variant: one is described by a table, [variants.NAME]")
    common = _words("command", given["command"]) if "command" in given else None
    pattern, inject = given.get("pattern"), given.get("inject", True)
    if not isinstance(pattern, str | None) or not isinstance(inject, bool):
        raise UsageError("pattern must be a string, and inject true or false")
    infos = []
    for name, variant in variants.items():
        if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII):
            raise UsageError(f"variant {name!r}: a name has letters, digits, _, - and .")
        if not isinstance(variant, dict):
            raise UsageError(f"variant {name} is no table")
        _known(f"variant {name}", variant, _OWN)
        argv = _words("command", variant["command"]) if "command" in variant else common
        if argv is None:
            raise UsageError(f"variant {name} has no command, and there is none for all")
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


def _known(what: str, table: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise UsageError(f"{what}: unknown {unknown[0]}; known are {', '.join(sorted(known))}")


def _words(what: str, value: object) -> tuple[str, ...]:
    """A list of words, or a line, which is split as a shell would do it and run by none."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise UsageError(f"{what} {value!r}: {error}") from None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UsageError(f"{what} must be a string or a list of strings")
    if what == "command" and not value:
        raise UsageError("a command must not be empty")
    return tuple(value)


def _variables(table: Mapping[str, Any]) -> dict[str, str]:
    env = table.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise UsageError("env must be a table of strings")
    return env
