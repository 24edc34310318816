"""`harness report --panics`: after a reboot, the panic report that belongs to a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from harness import privacy
from harness.analysis import panics as judge
from harness.beats import record
from harness.beats.file import BEATS, NOW, read_position
from harness.errors import UsageError
from harness.model import Outcome, RunResult, ScenarioResult
from harness.observe.macos import panics
from harness.privacy.personal import recall
from harness.report import runjson

_WRITTEN = (BEATS, NOW, record.SAMPLES)
"""The files that are written to as long as a run is under way."""


def newest_unfinished(out: Path) -> Path:
    """The newest folder of a run in `out` that never ended. Raises UsageError without one."""
    folders = sorted((file.parent for file in out.glob(f"*/{runjson.NAME}")), reverse=True)
    for folder in folders:
        with suppress(UsageError):
            if runjson.read(folder).finished is None:
                return folder
    raise UsageError(f"{out} has no run that did not end; name the folder of the run")


def join(run: RunResult, folder: Path, reports: Path) -> tuple[RunResult, str]:
    """`run`, whose ends are complete, with its panic; and a line that says what was found.

    Raises UsageError if the folder `reports` cannot be read.
    """
    results, told = list(run.results), []
    number = 0
    for index, result in enumerate(results):
        home = privacy.home(folder, result.scenario, recall(folder)) / str(result.repeat)
        if not _has_no_end(result) or not home.is_dir():
            continue
        beats = record.load(home)
        lasts = sorted(_last(beats, home))
        found = _read(reports, lasts[0] - judge.BEFORE_S) if lasts else []
        number = max(number, len(found))
        for last in lasts:
            if (panic := judge.of_run(found, last)) is not None:
                pid = beats.start.pid if beats.start else None
                results[index] = judge.joined(result, panic, last, pid)
                told.append(f"{result.scenario}: {results[index].reason}")
                break
    if told:
        return msgspec.structs.replace(run, results=tuple(results)), "\n".join(told)
    if not any(map(_has_no_end, run.results)):
        return run, "no run in it broke off, so no panic report belongs to it"
    return run, f"no panic report belongs to it: {number} were written after its last beat"


def _has_no_end(result: ScenarioResult) -> bool:
    """True of a run of which nobody saw the end, and of one whose panic was found before."""
    seen = result.exit_code is not None or result.signal is not None
    before = any(finding.code == judge.CODE for finding in result.findings)
    return not seen and (before or result.outcome is Outcome.UNFINISHED)


def _read(reports: Path, since: float) -> list[panics.Panic]:
    try:
        return list(panics.read(reports, since))
    except OSError as error:
        raise UsageError(
            f"cannot read {reports}: {error.strerror}; macOS writes panic reports to "
            f"{panics.FOLDER}; name a folder with copies of them with --panic-reports DIR"
        ) from error


def _last(beats: record.Record, home: Path) -> Iterator[float]:
    """The time of the last beat, in seconds since 1970, by two clocks.

    That of the beats stands still while the machine sleeps; that of the files is lost in a copy.
    """
    if beats.start is not None and beats.start.wall:
        told = [beats.start.t, *beats.t[-1:]]
        position = read_position(home)
        told += [position.t] if position is not None else []
        yield beats.start.wall + max(told) - beats.start.t
    times = []
    for name in _WRITTEN:
        with suppress(OSError):
            times.append((home / name).stat().st_mtime)
    if times:
        yield max(times)
