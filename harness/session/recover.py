"""The results that a killed supervisor did not write, from the records of its workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness import privacy
from harness.analysis import classify
from harness.beats import record
from harness.beats.file import read_position
from harness.model import Ending, RunResult, ScenarioResult, WorkerSpec
from harness.privacy.personal import recall


def complete(run: RunResult, folder: Path) -> RunResult:
    """`run` with a result for each worker in `folder` that was started and has none.

    The end of such a worker is unknown: it counts as interrupted where its record stops.
    """
    missing = tuple(_missing(run, folder))
    if not missing:
        return run
    results = sorted(run.results + missing, key=lambda result: _order(run, result))
    return msgspec.structs.replace(run, results=tuple(results), interrupted=True)


def _order(run: RunResult, result: ScenarioResult) -> tuple[int, int]:
    names = [info.name for info in run.scenarios]
    return names.index(result.scenario), result.repeat


def _missing(run: RunResult, folder: Path) -> Iterator[ScenarioResult]:
    personal = recall(folder)
    known = {(result.scenario, result.repeat) for result in run.results}
    for info in run.scenarios:
        for file in privacy.home(folder, info.name, personal).glob("*/spec.json"):
            try:
                spec = msgspec.json.decode(file.read_bytes(), type=WorkerSpec)
            except (OSError, msgspec.MsgspecError):
                continue
            if (info.name, spec.repeat) in known:
                continue
            beats = record.load(file.parent)
            ending = _ending(beats, file.parent)
            yield classify.classify(beats, ending, info, spec.settings, spec.repeat)


def _ending(beats: record.Record, folder: Path) -> Ending:
    position = read_position(folder)
    times = [*beats.t[-1:], *([position.t] if position else [])]
    began = beats.start.t if beats.start else None
    wall_s = max(times) - began if times and began is not None else 0.0
    return Ending(wall_s=wall_s, interrupted=True, position=position)
