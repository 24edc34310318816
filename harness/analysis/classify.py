"""From a worker's record and its ending to a result: outcome, reason, findings, metrics. Pure.

The outcome is the first of these that holds. docs/reference/verdicts/index.md gives the reasons
for the order.

1. `skipped`: the worker said that the scenario cannot run here.
2. `crashed`: the worker wrote down an exception.
3. `hung`: the watchdog confirmed it.
4. `crashed`: ended with a signal, an exit code, no record of its end, or too few steps.
5. `diverged`: losses, gradients or parameters are not finite, or the loss exploded.
6. `unfinished`: ended by the budget or by the user, or well before the total that it printed.
7. `completed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from harness import stats
from harness.analysis import death, findings
from harness.analysis.findings.ending import find as seen_from_outside
from harness.analysis.findings.ending import limited
from harness.analysis.findings.learning import REASONS
from harness.analysis.findings.memory import WARM_UP
from harness.beats.record import Record
from harness.errors import ScenarioError
from harness.model import (
    Ending,
    FigureSummary,
    Finding,
    LossSummary,
    MemorySummary,
    Metrics,
    Outcome,
    Position,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    Severity,
    StepTimes,
)
from harness.model.death import Kind
from harness.model.finding import warning
from harness.text import phrases
from harness.text.units import duration, plural

DIVERGES = frozenset(
    ("loss_not_finite", "gradients_not_finite", "parameters_not_finite", "loss_exploded")
)
"""Findings that, as errors, make a run diverged."""
_JUDGED_STEPS = 3
"""Below this many steps a missing finding says nothing: a second trace shows in step 2."""
_REASON = 300
START_UP = "during start-up"


def classify(
    record: Record,
    ending: Ending,
    info: ScenarioInfo,
    settings: Settings | None,
    repeat: int = 0,
    rank: int = 0,
) -> ScenarioResult:
    """Classify one run. `settings` are None for an outside command: its exit code then decides."""
    record = replace(record, usable=_usable(record, ending))
    ends = (*seen_from_outside(ending), *death.find(record, ending))
    everything = (*ends, *findings.find(record), *ending.findings)
    outcome, reason = _outcome(record, ending, settings, everything)
    completed = _completed(record, settings)
    if settings is None and completed - 1 == ending.steps:
        completed -= 1  # a bar counts from 1 and its losses from 0
    requested = settings.steps if settings else ending.steps and max(ending.steps, completed)
    if outcome is Outcome.COMPLETED and (requested or completed) >= _JUDGED_STEPS:
        everything += tuple(_missed(info, everything))
    place = _place(record, ending)
    return ScenarioResult(
        scenario=info.name,
        outcome=outcome,
        steps_requested=requested,
        steps_completed=completed,
        wall_s=ending.wall_s,
        repeat=repeat,
        rank=rank,
        reason=reason,
        place=record.raised if outcome is Outcome.CRASHED else None,
        cause=ending.cause,
        last_step=_last_step(place, settings),
        last_phase=place.phase if place else None,
        stalled_at_s=ending.stalled_at_s,
        detected_at_s=ending.detected_at_s,
        doubts=ending.doubts,
        exit_code=ending.exit_code,
        signal=ending.signal,
        findings=tuple(_known(finding, info) for finding in everything),
        metrics=metrics(record, ending),
    )


def _usable(record: Record, ending: Ending) -> int | None:
    """The memory that it could use; of a GPU what MLX told, if it did."""
    mlx = record.mlx
    if mlx is not None and (mlx.memory is not None or mlx.device.startswith("gpu")):
        return mlx.memory
    return ending.usable_memory


def _outcome(
    record: Record, ending: Ending, settings: Settings | None, everything: Sequence[Finding]
) -> tuple[Outcome, str | None]:
    where = _where(_place(record, ending), settings)
    error = record.error
    if error is not None and error.skip:
        return Outcome.SKIPPED, _line(error.message)
    if error is not None:
        message = _line(error.message)
        # A mistake in a scenario says its place itself.
        told = error.type == ScenarioError.__name__
        at = f", at {place}" if not told and (place := death.place(error.traceback)) else ""
        tail = f"{at} ({where})"
        text = _line(f"{error.type}{message and ': '}{message}", _REASON - len(tail))
        return Outcome.CRASHED, text + tail
    if ending.cause is not None:
        return Outcome.HUNG, _line(ending.cause.summary)
    stopped = _stopped(record, ending, where)
    broken = None if stopped else _broken(record, ending, settings, where)
    if broken:
        return Outcome.CRASHED, broken
    diverged = [f for f in everything if f.code in DIVERGES and f.severity is Severity.ERROR]
    if diverged:
        return Outcome.DIVERGED, diverged[0].summary
    if not stopped:
        stopped = next((f.summary for f in everything if f.code == "ended_early"), None)
    return (Outcome.UNFINISHED, stopped) if stopped else (Outcome.COMPLETED, None)


def _stopped(record: Record, ending: Ending, where: str) -> str | None:
    """Describe why we stopped a run that still made progress; None when we did not."""
    doing = f"; {ending.doing}" if ending.doing else ""
    if ending.interrupted:
        return f"{ending.ended_by or 'interrupted'} {where}{doing}"
    if ending.memory is not None and ending.memory.ended:
        at = f" {where}" if where else ""
        return f"stopped by --memory-limit{at}: {limited(ending.memory)}{doing}"
    if not ending.over_budget:
        return None
    reason = f"stopped by --budget {where}"
    place = ending.position
    if place is not None and record.start is not None:
        lasted = record.start.t + ending.wall_s - place.t
        reason += f" ({duration(max(0.0, lasted))})"
    if len(record.seconds) > 0:
        reason += f"; a step took {duration(stats.median(record.seconds))}"
    return reason + doing


def _broken(record: Record, ending: Ending, settings: Settings | None, where: str) -> str | None:
    """Describe why a run that ended by itself failed; None when it did not."""
    told = death.told(ending)
    more = f": {told}" if told else ""
    if settings is None and where == START_UP:
        where = ""  # whether it was still starting is not known of a program that names no step
    at = f" {where}" if where else ""
    if ending.signal is not None:
        return f"killed by {ending.signal}{at}{more}"
    if ending.exit_code is None:
        if record.start is None:
            return "the worker process did not start"
        return f"lost {where}: its guard process was killed"
    if ending.exit_code != 0:
        words = ending.facts.words
        # A shell that hands on a signal says by its code what the words of a crash do not say.
        if words is not None and words.uncaught and words.kind in (Kind.EXCEPTION, Kind.PANIC):
            return f"{told} ({where})" if where else told
        return f"exited with code {ending.exit_code}{at}{more}"
    if settings is None:
        return None
    if record.end is None and ending.position and ending.position.phase == "exit":
        return "the record is incomplete: all steps ended, but the last beats are not on disk"
    if record.end is None:
        return f"exited with code 0 {where}, before all steps ended"
    completed = _completed(record, settings)
    if completed < settings.steps and not record.torn:
        return f"returned from {completed} of {plural(settings.steps, 'step')}"
    return None


def _last_step(place: Position | None, settings: Settings | None) -> int | None:
    if place is None or place.step < 0:
        return None
    return min(place.step, settings.steps - 1) if settings else place.step


def _completed(record: Record, settings: Settings | None) -> int:
    """Steps whose evaluation returned. Where beats were lost, the worker's own count says it."""
    if settings is None:
        # As its log counts, from 0 or from 1; it may report only some of them.
        reported = (
            *record.loss_step[:1],
            *record.step[:1],
            *record.loss_step[-1:],
            *record.step[-1:],
        )
        return max(reported) + (min(reported) == 0) if reported else 0
    if record.end is not None and record.end.lost:
        return record.end.steps
    return len(record.step)


def _place(record: Record, ending: Ending) -> Position | None:
    if ending.position is not None:
        return ending.position
    if record.built is not None and (not record.step or record.built.step > record.step[-1]):
        return Position(record.built.step, "eval", record.built.t)
    if record.step:
        return Position(record.step[-1], "eval", record.t[-1])
    return Position(-1, "start", record.start.t) if record.start else None


def _where(place: Position | None, settings: Settings | None) -> str:
    if place is None:
        return START_UP
    if place.step < 0:
        return START_UP + (f", phase {place.phase}" if place.phase != "start" else "")
    if settings is not None and place.step >= settings.steps:
        return f"after the last step, phase {place.phase}"
    return phrases.place(place.step, place.phase)


def _line(text: str, most: int = _REASON) -> str:
    """The first line that says something, cut to a readable length."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= most else line[: most - 3] + "..."


def _known(finding: Finding, info: ScenarioInfo) -> Finding:
    """A finding in the light of what is run."""
    if finding.code == "double_trace" and info.command is not None:
        # Traces are counted in mlx-lm's trainer alone, whose step is always traced twice: its
        # optimizer's state comes with the first update.
        finding = msgspec.structs.replace(finding, severity=Severity.INFO)
    # Where nothing is to be learned, the reason is part of it.
    meant = finding.code in REASONS and "parameters_unchanged" in info.expects
    return msgspec.structs.replace(finding, expected=meant or finding.code in info.expects)


def _missed(info: ScenarioInfo, everything: Sequence[Finding]) -> list[Finding]:
    if info.own is not None:
        return []  # it says what a variation can lead to, and not each step gets there
    codes = {finding.code for finding in everything}
    return [
        warning(
            "expectation_missed",
            f"the scenario declares {code}, but the run does not have it",
            code=code,
        )
        for code in info.expects
        if code not in codes
    ]


# --- metrics -------------------------------------------------------------------------------------


def metrics(record: Record, ending: Ending) -> Metrics:
    """The figures of a run: seconds, bytes, and multiples of P, the size of what it trains."""
    trainable = record.trainable
    return Metrics(
        step_s=_step_times(record),
        phase_s={
            name: stats.median(column[1:] or column) for name, column in record.phases.items()
        },
        loss=_loss(record),
        figures=tuple(
            _figure(name, series.value) for name, series in sorted(record.figures.items())
        ),
        memory=_memory(record, ending),
        traces=record.traces[-1] if record.calls and record.calls[-1] else None,
        graph_nodes_last=record.nodes[-1] if record.nodes else None,
        parameters_changed=trainable.changed > 0 if trainable else None,
        drain_s=record.end.drain_s if record.end else None,
    )


def _step_times(record: Record) -> StepTimes | None:
    if not record.seconds:
        return None
    ordered = sorted(record.seconds)
    return StepTimes(
        first=record.seconds[0],
        median=stats.quantile_of_sorted(ordered, 0.5),
        p99=stats.quantile_of_sorted(ordered, 0.99),
        max=ordered[-1],
        second=record.seconds[1] if len(record.seconds) > 1 else None,
    )


def _loss(record: Record) -> LossSummary | None:
    losses = record.loss
    if not losses:
        return None
    finite = [loss for loss in losses if math.isfinite(loss)]
    return LossSummary(
        first=losses[0],
        last=losses[-1],
        min=min(finite, default=None),
        max=max(finite, default=None),
        finite=len(finite) == len(losses),
    )


def _figure(name: str, values: Sequence[float]) -> FigureSummary:
    finite = [value for value in values if math.isfinite(value)]
    return FigureSummary(
        name=name,
        first=values[0],
        last=values[-1],
        min=min(finite, default=None),
        max=max(finite, default=None),
        reads=len(values),
        not_finite=len(values) - len(finite),
    )


def _memory(record: Record, ending: Ending) -> MemorySummary:
    active = _highest([*record.early, *record.active])
    peak = _highest([*record.early_peak, *record.peak])
    unit = record.model.trainable_bytes if record.model else 0
    slope = _slope(record.active)
    return msgspec.structs.replace(
        record.memory,
        active_peak=active,
        peak=peak,
        cache_peak=_highest(record.cache),
        rss_peak=ending.rss_peak,
        parameter_bytes=record.model.trainable_bytes if record.model else None,
        active_over_p=active / unit if unit and active is not None else None,
        peak_over_p=peak / unit if unit and peak is not None else None,
        p_per_step=slope.value / unit if unit and slope else None,
        p_per_step_margin=slope.margin / unit if unit and slope else None,
        unread=ending.unread,
        limit=ending.memory.limit if ending.memory else None,
        limited_peak=ending.memory.peak if ending.memory else None,
    )


def _slope(active: Sequence[int]) -> stats.Slope | None:
    """The growth after the warm-up in bytes per step, also where it is no finding."""
    start = max(WARM_UP, len(active) // 10)
    points = [(i, float(size)) for i, size in stats.blocks(active[start:]) if size >= 0]
    return stats.theil_sen(points) if len(points) >= 3 else None


def _highest(sizes: Sequence[int]) -> int | None:
    highest = max(sizes, default=-1)
    return highest if highest >= 0 else None
