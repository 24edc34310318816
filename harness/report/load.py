"""A finished run's folder, as the reports want it: the result, and the streams when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import record
from harness.model import RunResult, ScenarioResult
from harness.record import Record
from harness.report import runjson

TAIL = 1 << 14
"""Bytes of a log that a report may show."""


@dataclass(frozen=True)
class RunData:
    """Everything a report is made from. The two functions read files only when called."""

    run: RunResult
    record: Callable[[ScenarioResult], Record]
    log_tail: Callable[[ScenarioResult], str]


def load(folder: Path) -> RunData:
    """The run in `folder`. Raises UsageError when it has no readable run.json."""

    def home(result: ScenarioResult) -> Path:
        return folder / result.scenario / str(result.repeat)

    return RunData(
        run=runjson.read(folder),
        record=lambda result: record.load(home(result)),
        log_tail=lambda result: "".join(
            _tail(home(result) / name) for name in ("stdout.log", "stderr.log")
        ),
    )


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
