"""run.json: written whole or not at all, and read back. docs/reference/run-json.md describes it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import UsageError
from harness.model import SCHEMA, RunResult
from harness.report import files

NAME = "run.json"


def document(run: RunResult) -> dict[str, Any]:
    """The run as JSON can hold it: NaN and the infinities are "nan", "inf" and "-inf"."""
    built: dict[str, Any] = storable(msgspec.to_builtins(run, str_keys=True))
    return built


def storable(value: Any) -> Any:
    """`value`, made of builtins, with NaN and the infinities as strings."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def encode(run: RunResult) -> str:
    """The text of run.json."""
    return json.dumps(document(run), indent=1, allow_nan=False) + "\n"


def write(run: RunResult, folder: Path) -> None:
    """Replace run.json in `folder`. Raises OSError; the old file then still stands."""
    files.replace(folder / NAME, encode(run).encode())


def text(folder: Path) -> str:
    """The document in `folder`, as `--json` prints it."""
    return (folder / NAME).read_text(encoding="utf-8")


def read(folder: Path) -> RunResult:
    """The run in `folder`. Raises UsageError when there is none that can be read."""
    file = folder / NAME
    try:
        raw = json.loads(file.read_bytes())
    except OSError as error:
        reason = error.strerror
        if isinstance(error, FileNotFoundError):
            reason = f"it has no {NAME}" if folder.is_dir() else "there is no such folder"
        raise UsageError(f"{folder} is not a run folder: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON: {error}") from error
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema != SCHEMA:
        raise UsageError(f"{file} has schema {schema!r}; this version reads {SCHEMA}")
    try:
        # Not strict: floats may be the strings "nan", "inf" and "-inf".
        return msgspec.convert(raw, type=RunResult, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{file} is not the result of a run: {error}") from error
