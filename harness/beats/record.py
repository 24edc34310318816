"""The record of a worker, laid out for arithmetic: one column a quantity, one entry a step.

Columns are `array`s of doubles and 64-bit integers, so that a run of a million steps takes some
100 MB and no more. A missing size is -1; a missing loss has no entry at all.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import add, truediv
from pathlib import Path
from typing import Any

import msgspec

from harness.beats.file import BEATS, LEARNING, BeatReader, read_beats
from harness.errors import ScenarioError
from harness.model import (
    AnyBeat,
    BuiltBeat,
    CheckBeat,
    CollectiveBeat,
    EndBeat,
    ErrorBeat,
    FiguresBeat,
    GradientBeat,
    LearningBeat,
    MemorySummary,
    MlxBeat,
    ModelBeat,
    Sample,
    StartBeat,
    StepBeat,
    Tensors,
)
from harness.text import places

SAMPLES = "samples.jsonl"
TAIL = 1 << 14
"""Bytes at the end of the error output that a traceback is looked for in."""
_DECODER = msgspec.json.Decoder(Sample)
_PEAKS = {
    "major_faults": "major_faults",
    "footprint": "footprint_peak",
    "swapped": "swapped_peak",
    "compressed": "compressed_peak",
    "pressure": "pressure_peak",
    "pressure_level": "pressure_level_peak",
}
"""Figures of a sample, and what the highest of each is called in the summary."""
_GROWTHS = {
    "swap_used": "swap_growth",
    "page_outs": "page_outs",
    "decompressions": "decompressions",
}
"""Figures of the machine, and what the growth of each since the first look at it is called."""
_AT_ONCE = 1000
"""Steps that are laid out together."""
NOT_WORK = ("graph",)
"""Phases that are the harness's own; left out of a step's time."""


def doubles() -> array[float]:
    return array("d")


def integers() -> array[int]:
    return array("q")


@dataclass(frozen=True)
class Series:
    """A named figure of a log: its values, and the steps that they were told of."""

    step: array[int] = field(default_factory=integers)
    value: array[float] = field(default_factory=doubles)


@dataclass(frozen=True)
class Record:
    """The beats of one worker. The arrays are filled once by `gather` and only read afterwards."""

    start: StartBeat | None = None
    mlx: MlxBeat | None = None
    model: ModelBeat | None = None
    end: EndBeat | None = None
    learning: LearningBeat | None = None
    error: ErrorBeat | None = None
    raised: str | None = None
    """The user's line that the last traceback ends at: of `error`, or of the error output."""
    torn: int = 0
    built: BuiltBeat | None = None
    """The last graph that was built; of the step after the last one in `step` when it hangs."""

    step: array[int] = field(default_factory=integers)
    """Indices of the steps that returned. All columns down to `inputs` are parallel to it."""
    t: array[float] = field(default_factory=doubles)
    """The times at which steps returned."""
    seconds: array[float] = field(default_factory=doubles)
    """Wall time of each, the harness's own phases left out."""
    active: array[int] = field(default_factory=integers)
    cache: array[int] = field(default_factory=integers)
    peak: array[int] = field(default_factory=integers)
    traces: array[int] = field(default_factory=integers)
    calls: array[int] = field(default_factory=integers)
    shapes: array[int] = field(default_factory=integers)
    inputs: array[int] = field(default_factory=integers)
    """Different shapes of batches so far, 0 where that is not known; bytes of each batch."""
    phases: dict[str, array[float]] = field(default_factory=dict)
    """Seconds by phase; a phase that a step did not have counts 0.0 there."""

    loss_step: array[int] = field(default_factory=integers)
    loss: array[float] = field(default_factory=doubles)
    """Losses, and the steps that read them."""
    figures: dict[str, Series] = field(default_factory=dict)
    """The other figures of a log, by their names in it."""
    node_step: array[int] = field(default_factory=integers)
    nodes: array[int] = field(default_factory=integers)
    depth: array[int] = field(default_factory=integers)
    """Pending operations and their depth, at the steps that were sampled; depth -1 when unknown."""
    left_step: array[int] = field(default_factory=integers)
    left: array[int] = field(default_factory=integers)
    carried: array[int] = field(default_factory=integers)
    """Counts at the sampled steps that returned: operations left pending, and those of earlier
    steps that were run."""
    arrays_step: array[int] = field(default_factory=integers)
    arrays: array[int] = field(default_factory=integers)
    """Arrays that the program holds, at the steps that counted them."""
    early: array[int] = field(default_factory=integers)
    early_peak: array[int] = field(default_factory=integers)
    """Active memory, and its peak, of steps without an entry: how long a log's first one took is
    not known."""
    checks: tuple[CheckBeat, ...] = ()
    gradients: tuple[GradientBeat, ...] = ()
    collectives: tuple[CollectiveBeat, ...] = ()
    usable: int | None = None
    """Bytes of memory that the run could use; None where that is not known."""
    memory: MemorySummary = field(default_factory=MemorySummary)
    """The figures of samples.jsonl. The columns below are from there too, parallel to each other,
    of the worker and all it started; -1 where it is not known."""
    seen_t: array[float] = field(default_factory=doubles)
    seen_step: array[int] = field(default_factory=integers)
    rss: array[int] = field(default_factory=integers)
    footprint: array[int] = field(default_factory=integers)

    @property
    def trainable(self) -> Tensors | None:
        """The trainable tensors that changed; None where nobody looked."""
        if self.end is not None and self.end.trainable is not None:
            return self.end.trainable
        return self.learning.trainable if self.learning is not None else None


def gather(beats: Iterable[AnyBeat], keep: int = 10_000) -> Record:
    """Lay out `beats`. Of checks, gradients and collectives the last `keep` are kept."""
    record = Record()
    single: dict[str, Any] = {}
    checks: list[CheckBeat] = []
    gradients: list[GradientBeat] = []
    collectives: list[CollectiveBeat] = []
    recent: dict[type, list[Any]] = {
        CheckBeat: checks,
        GradientBeat: gradients,
        CollectiveBeat: collectives,
    }
    steps: list[StepBeat] = []
    for beat in beats:
        if isinstance(beat, StepBeat):
            steps.append(beat)
            if len(steps) == _AT_ONCE:
                _add_steps(record, steps)
                steps.clear()
        elif isinstance(beat, BuiltBeat):
            single["built"] = beat
            if beat.nodes is not None:
                record.node_step.append(beat.step)
                record.nodes.append(beat.nodes)
                record.depth.append(-1 if beat.depth is None else beat.depth)
        elif isinstance(beat, FiguresBeat):
            for name, value in beat.figures.items():
                series = record.figures.setdefault(name, Series())
                series.step.append(beat.step)
                series.value.append(float(value))
        elif (last := recent.get(type(beat))) is not None:
            last.append(beat)
            if len(last) > 2 * keep:
                del last[:-keep]
        else:
            single[_SINGLE[type(beat)]] = beat
    _add_steps(record, steps)
    return replace(
        record,
        checks=tuple(checks[-keep:]),
        gradients=tuple(gradients[-keep:]),
        collectives=tuple(collectives[-keep:]),
        **single,
    )


_SINGLE: dict[type, str] = {
    StartBeat: "start",
    MlxBeat: "mlx",
    ModelBeat: "model",
    EndBeat: "end",
    LearningBeat: "learning",
    ErrorBeat: "error",
}


def _add_steps(record: Record, beats: Sequence[StepBeat]) -> None:
    """Many at once, a column after the other: that takes half the time of one after the other."""
    read = [(beat.step, float(beat.loss)) for beat in beats if beat.loss is not None]
    record.loss_step.extend([step for step, _ in read])
    record.loss.extend([loss for _, loss in read])
    later = [
        beat
        for beat in beats
        if not beat.covers and (beat.active is not None or beat.peak is not None)
    ]
    beats = [beat for beat in beats if beat.covers]
    before = len(record.step)
    record.step.extend([beat.step for beat in beats])
    record.t.extend([beat.t for beat in beats])
    totals = [0.0] * len(beats)
    rows = [beat.phases for beat in beats]
    covers = [beat.covers for beat in beats]
    for phase in dict.fromkeys(chain(record.phases, chain.from_iterable(rows))):
        if phase not in record.phases:
            record.phases[phase] = array("d", bytes(8 * before))
        seconds = list(map(truediv, [row.get(phase, 0.0) for row in rows], covers))
        record.phases[phase].extend(seconds)
        if phase not in NOT_WORK:
            totals = list(map(add, totals, seconds))
    record.seconds.extend(totals)
    record.active.extend([-1 if beat.active is None else beat.active for beat in beats])
    record.cache.extend([-1 if beat.cache is None else beat.cache for beat in beats])
    record.peak.extend([-1 if beat.peak is None else beat.peak for beat in beats])
    record.traces.extend([beat.traces for beat in beats])
    record.calls.extend([beat.calls for beat in beats])
    record.shapes.extend([beat.shapes for beat in beats])
    record.inputs.extend([-1 if beat.inputs is None else beat.inputs for beat in beats])
    for beat in beats:
        if beat.left is not None:
            record.left_step.append(beat.step)
            record.left.append(beat.left)
            record.carried.append(beat.carried or 0)
        if beat.arrays is not None:
            record.arrays_step.append(beat.step)
            record.arrays.append(beat.arrays)
    if later:
        _complete(record, later)


def _complete(record: Record, beats: Iterable[StepBeat]) -> None:
    """Add the memory that a log told later than the step itself, or of a step without an entry."""
    last = {record.step[i]: i for i in range(max(0, len(record.step) - _AT_ONCE), len(record.step))}
    for beat in beats:
        at = last.get(beat.step)
        for column, size in ((record.active, beat.active), (record.peak, beat.peak)):
            if at is not None and size is not None and column[at] < 0:
                column[at] = size
        if at is None:
            record.early.extend(size for size in (beat.active,) if size is not None)
            record.early_peak.extend(size for size in (beat.peak,) if size is not None)


def load(folder: Path) -> Record:
    """The record of the worker that wrote into `folder`, of several ranks that of the first one.

    Of several ranks it is that of the first. Empty when it wrote nothing.
    """
    ranks = sorted(folder.glob(f"rank-*/{BEATS}"), key=lambda path: int(path.parent.name[5:]))
    beats = ranks[0].parent if ranks and not (folder / BEATS).exists() else folder
    reader = BeatReader(beats)
    record = gather(
        chain(read_beats(beats, reader), read_beats(folder, BeatReader(folder, LEARNING)))
    )
    error = record.error
    if error is not None and error.type == ScenarioError.__name__:
        raised = places.named(error.message)
    else:
        raised = places.raised(error.traceback if error else _end(folder / "stderr.log"))
    return replace(
        record,
        raised=str(raised) if raised is not None else None,
        torn=reader.torn,
        memory=_memory(_noted(record, samples(folder))),
    )


def _end(file: Path) -> str:
    """The end of a log, of which there may be gigabytes."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - TAIL))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _noted(record: Record, samples: Iterable[Sample]) -> Iterator[Sample]:
    """`seen`, laid out in the columns of `record` as it passes."""
    for sample in samples:
        record.seen_t.append(sample.t)
        record.seen_step.append(-1 if sample.step is None else sample.step)
        record.rss.append(-1 if sample.rss is None else sample.rss)
        record.footprint.append(-1 if sample.footprint is None else sample.footprint)
        yield sample


def _memory(samples: Iterable[Sample]) -> MemorySummary:
    """The highest of each figure, and by how much others rose above the first look at them."""
    peaks: dict[str, Any] = dict.fromkeys([*_PEAKS, *_GROWTHS])
    first: dict[str, Any] = {}
    for sample in samples:
        for name, peak in peaks.items():
            value = getattr(sample, name)
            if value is not None:
                first.setdefault(name, value)
                peaks[name] = value if peak is None else max(peak, value)
    grown: dict[str, Any] = {
        told: None if name not in first else peaks[name] - first[name]
        for name, told in _GROWTHS.items()
    }
    return MemorySummary(**{told: peaks[name] for name, told in _PEAKS.items()}, **grown)


def samples(folder: Path) -> Iterator[Sample]:
    """The lines of samples.jsonl in `folder`, those that can be read."""
    try:
        with (folder / SAMPLES).open("rb") as file:
            for line in file:
                # A killed supervisor leaves a torn last line, a full disk others.
                with contextlib.suppress(msgspec.MsgspecError):
                    yield _DECODER.decode(line)
    except OSError:
        return
