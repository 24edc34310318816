"""One run of a plan, for itself: on this host or another one, with a record that can be joined."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import UsageError
from harness.releases import probe
from harness.releases.folder import private, read_plan
from harness.releases.plan import NAME, Plan, cell_of, digest
from harness.releases.probe import Ran

SCHEMA = 1
PATTERN = "*/part-*.json"
"""The records below a folder that has them."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """part-<number>.json: what became of one run of a plan."""

    schema: int = SCHEMA
    plan: str
    """The digest of the plan."""
    host: str
    """The name of the machine on which it ran."""
    ran: Ran


def run(plan: Plan, number: int, folder: Path, command: Sequence[str]) -> Ran:
    """Carry out the run `number` of `plan`, with its record and its run folder below `folder`.

    Raises UsageError when there is no such run, or when the target cannot be had here. Without a
    record it was interrupted.
    """
    cell = cell_of(plan, number)
    home = folder / cell.name
    home.mkdir(parents=True, exist_ok=True)
    here = located(plan, home)
    ran = probe.run(here, cell, folder, command, number)
    if not ran.interrupted:
        part = Part(plan=digest(plan), host=platform.node(), ran=ran)
        private(home / f"part-{number}.json", msgspec.to_builtins(part))
    return ran


def located(plan: Plan, home: Path) -> Plan:
    """`plan` with the scenario's file as it is on this host: its own if it is the same, else a copy
    in `home`. Enters the folder that the plan was made in, if it is there.

    Raises UsageError when a command has no such folder here.
    """
    try:
        os.chdir(plan.cwd)
    except OSError as error:
        if plan.settings is None:
            raise UsageError(
                f"the command is run in {plan.cwd}, which cannot be entered here: {error.strerror}"
            ) from None
    target = plan.target
    if not target.path or _same(Path(target.path), target.source):
        return plan
    copy = home / Path(target.path).name
    copy.write_text(target.source, encoding="utf-8")
    return msgspec.structs.replace(
        plan, target=msgspec.structs.replace(target, path=str(copy.resolve()))
    )


def _same(path: Path, source: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == source
    except (OSError, UnicodeDecodeError):
        return False


def plan_of(folder: Path) -> Plan:
    """The plan in `folder`. Raises UsageError when it has none."""
    plan = read_plan(folder)
    if plan is None:
        raise UsageError(f"{folder} has no {NAME} of a matrix or a bisect; make one with --plan")
    return plan


def read(folder: Path, plan: Plan) -> list[tuple[Path, Part]]:
    """The records below `folder`, each with its file, by name.

    Raises UsageError when one cannot be read or is of another plan.
    """
    parts = []
    for file in sorted(folder.glob(PATTERN)):
        try:
            part = msgspec.convert(json.loads(file.read_bytes()), Part, strict=False)
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise UsageError(f"cannot read {file}: {error}; delete it, and run it again") from None
        if part.plan != digest(plan) or part.schema != SCHEMA:
            raise UsageError(f"{file} is of another plan; collect the folders of one plan only")
        parts.append((file, part))
    return parts
