"""Records built in memory, through the beats a worker would have written."""

from __future__ import annotations

import msgspec

from harness.beats.file import number
from harness.beats.record import Record, gather
from harness.model import (
    BuiltBeat,
    CheckBeat,
    EndBeat,
    Ending,
    ErrorBeat,
    FiguresBeat,
    GradientBeat,
    LearningBeat,
    ModelBeat,
    ScenarioInfo,
    Settings,
    StartBeat,
    StepBeat,
    Tensors,
)

P = 100_000_000
"""Bytes of the trainable parameters of every record made here."""
INFO = ScenarioInfo(name="some", path="some.py", summary="", doc="", source="")
COMPLETED = Ending(wall_s=10.0, exit_code=0)


def at(value, step, default):
    """A column given as a constant, a list, or a function of the step."""
    if value is None:
        return default
    if callable(value):
        return value(step)
    return value[step] if isinstance(value, (list, tuple)) else value


def make(
    steps=10,
    losses=lambda step: 5.0 - 0.1 * step,
    seconds=0.02,
    active=3 * P,
    nodes=None,
    left=None,
    carried=0,
    cache=0,
    peak=None,
    shapes=1,
    inputs=None,
    arrays=None,
    traces=0,
    calls=None,
    checks=(),
    norms=(),
    end=True,
    error=None,
    torn=0,
    learning=None,
    **ends,
) -> Record:
    """The record of a run of `steps` steps; `ends` are fields of its EndBeat, `learning` those of
    its LearningBeat."""
    beats = [
        StartBeat(t=0.0, schema=1, pid=1, wall=0.0, scenario="some"),
        ModelBeat(
            t=0.1,
            parameters=P // 4,
            parameter_bytes=P,
            trainable=P // 4,
            trainable_bytes=P,
            dtype="float32",
        ),
    ]
    for step in range(steps):
        loss, duration = at(losses, step, None), at(seconds, step, 0.02)
        parts = {"forward": 0.05, "backward": 0.05, "eval": 0.9}
        phases = {name: part * duration for name, part in parts.items()} | {"graph": 1.0}
        beats.append(BuiltBeat(t=float(step), step=step, nodes=at(nodes, step, None), depth=9))
        beats.append(
            StepBeat(
                t=step + 0.5,
                step=step,
                phases=phases,
                loss=None if loss is None else number(loss),
                active=at(active, step, None),
                cache=at(cache, step, 0),
                peak=at(active if peak is None else peak, step, None),
                shapes=at(shapes, step, 0),
                inputs=at(inputs, step, None),
                arrays=at(arrays, step, None),
                traces=at(traces, step, 0),
                calls=at(calls, step, step + 1 if traces else 0),
                left=at(left, step, None),
                carried=None if left is None else at(carried, step, 0),
            )
        )
    beats += [
        CheckBeat(t=1.0, step=step, name="stale_loss", value=1.0 + (not ok), expected=1.0, ok=ok)
        for step, ok in enumerate(checks)
    ]
    beats += [GradientBeat(t=1.0, step=i, norm=number(norm)) for i, norm in enumerate(norms)]
    if end:
        fields = {"steps": steps, "drain_s": 0.0, "trainable": Tensors(total=4, changed=4)}
        beats.append(EndBeat(t=99.0, **(fields | ends)))
    if learning is not None:
        beats.append(LearningBeat(t=98.0, **learning))
    if error is not None:
        beats.append(error)
    record = gather(beats)
    return record if not torn else record.__class__(**(vars(record) | {"torn": torn}))


def failure(message="boom", **fields) -> ErrorBeat:
    return ErrorBeat(t=5.0, type="ValueError", message=message, traceback="", **fields)


def settings(steps=10) -> Settings:
    return Settings(steps=steps)


def expecting(*codes) -> ScenarioInfo:
    return msgspec.structs.replace(INFO, expects=codes)


def told(losses=(), figures=None, seconds=0.02, decimals=None) -> Record:
    """A command's run, known by its log alone: its losses, rounded as they are printed, and the
    figures beside them, each by its name."""
    beats = [StartBeat(t=0.0, schema=1, pid=1, wall=0.0, scenario="some")]
    for step, loss in enumerate(losses):
        shown = loss if loss is None or decimals is None else round(loss, decimals)
        phases = {"after_report": at(seconds, step, 0.02)}
        value = None if shown is None else number(shown)
        beats.append(StepBeat(t=float(step), step=step, phases=phases, loss=value))
        given = {name: number(values[step]) for name, values in (figures or {}).items()}
        if given:
            beats.append(FiguresBeat(t=float(step), step=step, figures=given))
    return gather(beats)


def held(sizes, every=0.25, per_second=30, rss=None) -> Record:
    """A command's run, known by its log and from outside: what it held, look by look.

    It does `per_second` steps and tells of each tenth; None if it tells of none.
    """
    beats = [StartBeat(t=0.0, schema=1, pid=1, wall=0.0, scenario="some")]
    for step in range(0, round(len(sizes) * every * (per_second or 0)), 10):
        beats.append(StepBeat(t=step / per_second, step=step, phases={}, loss=None))
    record = gather(beats)
    for look, size in enumerate(sizes):
        record.seen_t.append(look * every)
        record.seen_step.append(int(look * every * per_second) if per_second else -1)
        record.footprint.append(round(size) if rss is None else -1)
        record.rss.append(round(size) if rss is None else rss[look])
    return record
