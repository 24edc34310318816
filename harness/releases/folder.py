"""The folder of a matrix or a bisect: its plan, its state, and what may be published of it.

The plan and the state stay as they are, for this user alone. The result is redacted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
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


def read_plan(folder: Path) -> Plan | None:
    """The plan in `folder`, or None when it has none of this schema that can be read."""
    try:
        plan = msgspec.convert(json.loads((folder / NAME).read_bytes()), Plan, strict=False)
    except (OSError, ValueError, msgspec.ValidationError):
        return None
    return plan if plan.schema == SCHEMA else None


def read_runs(folder: Path) -> tuple[Ran, ...]:
    """The runs in the state of `folder`. Raises OSError, ValueError or msgspec.ValidationError."""
    return msgspec.convert(json.loads((folder / STATE).read_bytes()), tuple[Ran, ...], strict=False)


def _read(folder: Path, kind: str) -> tuple[Plan, tuple[Ran, ...]]:
    plan = read_plan(folder)
    try:
        runs = read_runs(folder)
    except (OSError, ValueError, msgspec.ValidationError):
        plan = None
    if plan is None:
        raise UsageError(f"{folder} is not the folder of {KINDS[kind]}")
    if plan.kind != kind:
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


def published(result: T, full: bool, hosts: Iterable[str] = ()) -> T:
    """`result` as it may be published: redacted, unless `full`.

    The names of `hosts` are redacted too, each to a name of its own.
    """
    if full:
        return result
    cleaned: T = privacy.cleaned(result, privacy.numbered(hosts, personal.gather()))
    return cleaned


def publishable(result: msgspec.Struct, full: bool, hosts: Iterable[str] = ()) -> dict[str, Any]:
    """`result` as a document, as `published` makes it."""
    document: dict[str, Any] = runjson.storable(msgspec.to_builtins(published(result, full, hosts)))
    return document


def publish(
    result: msgspec.Struct, name: str, folder: Path, full: bool, hosts: Iterable[str] = ()
) -> dict[str, Any]:
    """Write the result to `folder` as `publishable` makes it; returns what was written."""
    document = publishable(result, full, hosts)
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
