"""The input of a report: the result, and the needed parts of the streams beside it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness import privacy
from harness.analysis.headline import faults
from harness.beats import record
from harness.beats.file import read_beats, read_ends
from harness.beats.record import Record
from harness.model import (
    AnyBeat,
    BuiltBeat,
    EndBeat,
    ModelBeat,
    Outcome,
    RunResult,
    Sample,
    ScenarioInfo,
    ScenarioResult,
    Severity,
    StartBeat,
    StepBeat,
)
from harness.privacy import Personal
from harness.privacy.personal import recall
from harness.report import runjson, siblings
from harness.text.sanitize import sanitize

T = TypeVar("T")

TAIL = 1 << 14
"""Bytes at the end of a log that a report may show."""
STACK = 1 << 15
"""Bytes of a file with stacks that a report may show."""
BEATS_END = 1 << 16
"""Bytes at the end of a rank's beats that a report reads: what came before the end is told by the
result."""
LOGS = ("stdout", "stderr")

WORST_FIRST = (
    Outcome.HUNG,
    Outcome.CRASHED,
    Outcome.DIVERGED,
    Outcome.UNFINISHED,
    Outcome.COMPLETED,
    Outcome.SKIPPED,
)


@dataclass(frozen=True)
class ReportInput:
    """Everything a report is made from. The functions read files only when they are called."""

    run: RunResult
    record: Callable[[ScenarioResult], Record] = lambda _: Record()
    own_model: Callable[[ScenarioResult], int | None] = lambda _: None
    """Parameters of a model that the scenario has brought; 0 of one that it did not show us, None
    where it trains the model of the settings."""
    log_tails: Callable[[ScenarioResult], Mapping[str, str]] = lambda _: {}
    """At most the last TAIL bytes of `stdout` and `stderr`, by stream."""
    stacks: Callable[[ScenarioResult], tuple[str, ...]] = lambda _: ()
    """Names of the files with stacks."""
    stack_texts: Callable[[ScenarioResult], Mapping[str, str]] = lambda _: {}
    """The stack files, by path below stacks/: at most the first STACK bytes of each."""
    samples: Callable[[ScenarioResult], Iterable[Sample]] = lambda _: ()
    siblings: Callable[[Group], Mapping[str, str]] = lambda _: {}
    """The sources of the modules that lie beside a scenario, by module."""
    rank_beats: Callable[[ScenarioResult, int], Sequence[AnyBeat]] = lambda _, __: ()
    """The first beat and the last ones of one rank of a job."""
    rank_pids: Callable[[ScenarioResult], Mapping[int, int]] = lambda _: {}
    """The rank of each process of a job."""


@dataclass(frozen=True)
class Group:
    """All runs of one scenario."""

    name: str
    info: ScenarioInfo | None
    results: tuple[ScenarioResult, ...]

    @property
    def worst(self) -> ScenarioResult:
        """The run that a section shows; the first of the worst."""
        return min(self.results, key=lambda result: WORST_FIRST.index(result.outcome))

    def label(self, result: ScenarioResult) -> str:
        """Its name, with the repeat's number where there is more than one."""
        return self.name + (f" [{result.repeat}]" if len(self.results) > 1 else "")

    @property
    def fine(self) -> bool:
        """Nothing but completed and skipped runs."""
        return self.worst.outcome in (Outcome.COMPLETED, Outcome.SKIPPED)


def groups(run: RunResult) -> tuple[Group, ...]:
    """The results by scenario, in the order in which the scenarios were planned."""
    infos = {info.name: info for info in run.scenarios}
    by_name: dict[str, list[ScenarioResult]] = {name: [] for name in infos}
    for result in run.results:
        by_name.setdefault(result.scenario, []).append(result)
    return tuple(
        Group(name, infos.get(name), tuple(results)) for name, results in by_name.items() if results
    )


def subject(every: Iterable[Group]) -> Group | None:
    """The subject of a report: the first of the worst, or of those completed with a fault."""
    return min(every, key=_badness, default=None)


def _badness(group: Group) -> tuple[int, int]:
    fault = faults.worst(group.worst)
    severity = 2 if fault is None else (Severity.ERROR, Severity.WARNING).index(fault.severity)
    return WORST_FIRST.index(group.worst.outcome), severity


def load_run(folder: Path, full: bool = False) -> ReportInput:
    """The run in `folder`, redacted unless it is asked for in `full`.

    Raises UsageError when it has no readable run.json.
    """
    personal = recall(folder)
    data = _raw(folder, personal)
    if full:
        return replace(data, run=msgspec.structs.replace(data.run, full=True))
    return _redacted(data, privacy.with_hosts(data.run, personal))


def _raw(folder: Path, personal: Personal) -> ReportInput:
    def home(result: ScenarioResult) -> Path:
        return privacy.home(folder, result.scenario, personal) / str(result.repeat)

    @lru_cache(maxsize=1)  # the reports ask one after the other, and a long one takes seconds
    def recorded(folder: Path) -> Record:
        return record.load(folder)

    return ReportInput(
        run=runjson.read(folder),
        record=lambda result: recorded(home(result)),
        own_model=lambda result: _own_model(home(result)),
        log_tails=lambda result: {name: tail(home(result) / f"{name}.log", TAIL) for name in LOGS},
        stacks=lambda result: _names(home(result) / "stacks"),
        stack_texts=lambda result: _heads(home(result) / "stacks"),
        samples=lambda result: record.samples(home(result)),
        siblings=lambda group: siblings.read(group.info, home(group.worst)) if group.info else {},
        rank_beats=lambda result, rank: read_ends(home(result) / f"rank-{rank}", BEATS_END),
        rank_pids=lambda result: _pids(home(result)),
    )


def _redacted(data: ReportInput, personal: Personal) -> ReportInput:
    def clean(value: T) -> T:
        cleaned: T = privacy.cleaned(value, personal)
        return cleaned

    def texts(stacks: Mapping[str, str]) -> dict[str, str]:
        # Without colors first: they may stand in the middle of a word.
        return {name: clean(sanitize(text)) for name, text in stacks.items()}

    return ReportInput(
        run=msgspec.structs.replace(privacy.published(data.run, personal), full=False),
        record=lambda result: _record(data.record(result), clean),
        own_model=data.own_model,
        log_tails=lambda result: texts(data.log_tails(result)),
        stacks=data.stacks,
        stack_texts=lambda result: texts(data.stack_texts(result)),
        samples=lambda result: (
            sample if sample.phase is None else _renamed(sample, clean(sample.phase))
            for sample in data.samples(result)
        ),
        siblings=lambda group: siblings.Published(
            {privacy.named(name, personal): text for name, text in data.siblings(group).items()},
            lambda text: privacy.redacted_source(text, personal),
        ),
        rank_beats=lambda result, rank: [clean(beat) for beat in data.rank_beats(result, rank)],
        rank_pids=data.rank_pids,
    )


def _own_model(home: Path) -> int | None:
    try:
        for beat in read_beats(home):
            if isinstance(beat, ModelBeat):
                return beat.parameters if beat.own else None
            # The first step may be what builds it.
            if isinstance(beat, EndBeat) or (isinstance(beat, BuiltBeat | StepBeat) and beat.step):
                return 0
    except OSError:
        pass
    return None


def _record(record: Record, clean: Callable[[Any], Any]) -> Record:
    """Redact all text of a record, in whichever field; arrays hold numbers and stay."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return replace(
        record, **{name: clean(v) for name, v in values.items() if not isinstance(v, array)}
    )


def _renamed(sample: Sample, phase: str) -> Sample:
    return sample if phase == sample.phase else msgspec.structs.replace(sample, phase=phase)


def _pids(home: Path) -> dict[int, int]:
    firsts = {path: next(read_beats(path), None) for path in home.glob("rank-*")}
    return {beat.pid: beat.rank for beat in firsts.values() if isinstance(beat, StartBeat)}


def tail(path: Path, size: int) -> str:
    """The last `size` bytes of a log, from the first whole line on; empty where there is none.

    Half a token at its start could not be redacted.
    """
    try:
        with path.open("rb") as file:
            start = max(0, path.stat().st_size - size)
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if start and "\n" in text else text


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(path.name for path in folder.iterdir()))
    except OSError:
        return ()


def _heads(folder: Path) -> dict[str, str]:
    try:
        return {
            path.relative_to(folder).as_posix(): _head(path)
            for path in sorted(folder.rglob("*.txt"))
        }
    except OSError:
        return {}


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(STACK).decode("utf-8", "replace")
