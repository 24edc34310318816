"""The folder of a matrix or a bisect: its plan, its state, and what may be published of it.

The plan and the state stay as they are, for this user alone. The result is redacted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness import privacy
from harness.errors import UsageError
from harness.privacy import personal
from harness.releases.plan import NAME, SCHEMA, Plan
from harness.releases.probe import Ran
from harness.report import files, runjson
from harness.session.folder import locked, new_folder

STATE = "state.json"
KINDS = {"matrix": "a matrix", "bisect": "a bisect", "investigate": "an investigation"}
"""The kinds of plans, for people."""


def begin(plan: Plan, out: Path) -> Path:
    """Make the folder of `plan`. Raises UsageError when it cannot be made."""
    folder = new_folder(out)
    private(folder / NAME, msgspec.to_builtins(plan))
    save_state(folder, ())
    return folder


def save_state(folder: Path, runs: Sequence[Ran]) -> None:
    """Save the runs that are known. Raises OSError."""
    private(folder / STATE, msgspec.to_builtins(tuple(runs)))


@contextmanager
def opened(folder: Path, kind: str) -> Iterator[tuple[Plan, tuple[Ran, ...]]]:
    """The plan and the runs in a folder to go on with, locked meanwhile.

    Raises UsageError when it has none, when its kind is another, or when it is in use.
    """
    if not (folder / NAME).is_file():
        raise UsageError(f"{folder} is not the folder of {KINDS[kind]}")
    with locked(folder):
        yield _read(folder, kind)


def _read(folder: Path, kind: str) -> tuple[Plan, tuple[Ran, ...]]:
    try:
        plan = msgspec.convert(json.loads((folder / NAME).read_bytes()), Plan, strict=False)
        runs = msgspec.convert(
            json.loads((folder / STATE).read_bytes()), tuple[Ran, ...], strict=False
        )
    except (OSError, ValueError, msgspec.ValidationError):
        raise UsageError(f"{folder} is not the folder of {KINDS[kind]}") from None
    if plan.kind != kind or plan.schema != SCHEMA:
        other = KINDS.get(plan.kind, plan.kind)
        raise UsageError(f"{folder} is the folder of {other}, not of {KINDS[kind]}")
    if Path(plan.cwd) != Path.cwd():
        raise UsageError(f"{folder} was begun in {plan.cwd}; go there to continue it")
    path = Path(plan.target.path)
    if plan.target.path and (
        not path.is_file() or path.read_text(encoding="utf-8") != plan.target.source
    ):
        raise UsageError(f"{path} has changed since {folder} was begun; begin anew")
    return plan, runs


T = TypeVar("T", bound=msgspec.Struct)


def published(result: T, full: bool) -> T:
    """`result` as it may be published: redacted, unless `full`."""
    if full:
        return result
    cleaned: T = privacy.cleaned(result, personal.gather())
    return cleaned


def publish(result: msgspec.Struct, name: str, folder: Path, full: bool) -> dict[str, Any]:
    """Write the result to `folder`, redacted unless `full`; returns what was written."""
    document: dict[str, Any] = runjson.storable(msgspec.to_builtins(published(result, full)))
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    files.replace(folder / name, text.encode())
    return document


def private(file: Path, document: Any) -> None:
    """Write `document`, readable by this user alone."""
    partial = file.with_name(f".{file.name}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(runjson.storable(document), stream, allow_nan=False)
    partial.replace(file)
