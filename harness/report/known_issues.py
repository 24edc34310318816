"""The known issues of a result, from the files in its folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from harness.analysis.known_issues.match import Evidence, match
from harness.model import Environment, Outcome, ScenarioResult
from harness.report.input import tail

LOG_END = 1 << 16
"""Bytes at the end of a log in which an error is looked for."""
STACKS = 1 << 18
"""Bytes of a capture in which frames are looked for."""
ENDED_WELL = (Outcome.COMPLETED, Outcome.SKIPPED)
"""The outcomes in which no known issue shows."""


def with_known_issues(
    result: ScenarioResult, home: Path, environment: Environment
) -> ScenarioResult:
    """`result`, whose files are in `home`, with the known issues that it shows.

    A file that cannot be read counts as empty. A run that ended well shows none: the list of
    them is not read.
    """
    if result.outcome in ENDED_WELL:
        return result
    matches = match(result, read(home), environment)
    return msgspec.structs.replace(result, known_issues=matches) if matches else result


def read(home: Path) -> Evidence:
    """The evidence in a result's folder, of all of its ranks."""
    logs = sorted([*home.glob("std*.log"), *home.glob("rank-*/std*.log")])
    captures: dict[tuple[Path, str], list[str]] = {}
    for path in sorted(home.glob("stacks*/**/*.txt")) or _last_look(home):
        _, _, tool = path.stem.partition("-")
        captures.setdefault((path.parent, tool), []).append(_capture(path))
    return Evidence(
        outputs=tuple(filter(None, (tail(path, LOG_END) for path in logs))),
        stacks=tuple(tuple(filter(None, texts)) for texts in captures.values()),
    )


def _last_look(home: Path) -> Iterable[Path]:
    """The captures of the last look at a run that was doubted, and not called hung."""
    looks = [path for path in home.glob("looks/*") if path.name.isdigit()]
    last = max(looks, key=lambda path: int(path.name), default=None)
    return sorted(last.rglob("*.txt")) if last else ()


def _capture(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(STACKS).decode("utf-8", "replace")
    except OSError:
        return ""
