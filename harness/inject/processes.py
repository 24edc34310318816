"""The Python processes of a command, as they tell of themselves: their versions and their ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .inside.versions import PROCESSES

_MOST = 4 << 20
"""Bytes at the end of the file that are read."""


@dataclass(frozen=True)
class Told:
    """One process, as it told of itself."""

    pid: int
    python: str
    """Its version."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """The versions of the packages that it has imported, by their distribution."""
    ended: bool = False
    """True if it came to the end of its program."""
    error: str | None = None
    """The traceback of the exception that nobody caught."""
    forked: bool = False
    """True if it was forked from a process that went on."""


def read(folder: Path) -> tuple[Told, ...]:
    """All that have told anything; those that have ended come last, in the order of their ends."""
    try:
        with (folder / PROCESSES).open("rb") as file:
            file.seek(max(0, (folder / PROCESSES).stat().st_size - _MOST))
            lines = file.read().splitlines()
    except OSError:
        return ()
    known: dict[int, Told] = {}
    for line in lines:
        try:
            _take(known, json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue  # it was written only in part
    return tuple(sorted(known.values(), key=lambda told: told.ended))


def _take(known: dict[int, Told], line: dict[str, object]) -> None:
    pid, python = int(str(line["pid"])), str(line["python"])
    before = known.pop(pid, Told(pid, python))
    if line["k"] == "ran":
        versions = {**before.versions, str(line["name"]): str(line["version"])}
        known[pid] = Told(pid, python, versions)
    else:
        error = line.get("error")
        known[pid] = Told(
            pid,
            python,
            before.versions,
            ended=True,
            error=None if error is None else str(error),
            forked=line.get("forked") is True,
        )
