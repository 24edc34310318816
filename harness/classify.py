"""From the records of one run to its outcome, its findings and its figures. Pure."""

from __future__ import annotations

import math
from array import array

import msgspec

from harness import findings
from harness.model import (
    Ending,
    Finding,
    LossSummary,
    MemorySummary,
    Metrics,
    Outcome,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    Severity,
    StepTimes,
)
from harness.record import Record
from harness.stats import median, quantile

DIVERGED = ("loss_not_finite", "gradients_not_finite", "parameters_not_finite", "loss_exploded")
"""Findings that make a run diverged, in the order in which they name the reason."""


def classify(
    record: Record,
    ending: Ending,
    info: ScenarioInfo,
    settings: Settings,
    repeat: int = 0,
    rank: int = 0,
) -> ScenarioResult:
    """The verdict on one run."""
    found = findings.find(record, settings)
    outcome, reason = _outcome(record, ending, settings, found)
    position = ending.position
    last_step = record.step[-1] if record.step else None
    if position is not None and 0 <= position.step < settings.steps:
        last_step = position.step
    return ScenarioResult(
        scenario=info.name,
        repeat=repeat,
        rank=rank,
        outcome=outcome,
        reason=reason,
        cause=ending.cause,
        steps_requested=settings.steps,
        steps_completed=len(record.step),
        last_step=last_step,
        last_phase=position.phase if position else None,
        wall_s=ending.wall_s,
        stalled_at_s=ending.stalled_at_s,
        detected_at_s=ending.detected_at_s,
        exit_code=ending.exit_code,
        signal=ending.signal,
        findings=_against_expectations(found, info, outcome),
        metrics=metrics(record, ending),
    )


def _outcome(
    record: Record, ending: Ending, settings: Settings, found: tuple[Finding, ...]
) -> tuple[Outcome, str | None]:
    """Strongest first: a run that hangs is hung whatever its loss was before."""
    if record.error is not None and record.error.skip:
        return Outcome.SKIPPED, record.error.message
    if ending.cause is not None:
        return Outcome.HUNG, ending.cause.summary
    crash = _crash(record, ending, settings)
    if crash and not (ending.over_budget or ending.interrupted):
        return Outcome.CRASHED, crash
    by_code = {finding.code: finding for finding in found}
    for code in DIVERGED:
        if code in by_code:
            return Outcome.DIVERGED, by_code[code].summary
    if ending.interrupted:
        return Outcome.UNFINISHED, "interrupted by the user"
    if ending.over_budget:
        return Outcome.UNFINISHED, f"still making progress after {ending.wall_s:.0f} s, its budget"
    return Outcome.COMPLETED, None


def _crash(record: Record, ending: Ending, settings: Settings) -> str | None:
    """Why the run did not come to its end by itself, in one line; None when it did."""
    position = ending.position
    where = ""
    if position is not None:
        step = f"step {position.step}, " if 0 <= position.step < settings.steps else ""
        where = f" in {step}phase {position.phase}"
    if record.error is not None:
        message = record.error.message.strip().partition("\n")[0]
        return f"{record.error.type}: {message}{where}" if message else record.error.type + where
    if ending.signal is not None:
        return f"killed by {ending.signal}{where}"
    if ending.exit_code is None:
        return f"gone without an exit status{where}"
    if ending.exit_code != 0:
        return f"exit code {ending.exit_code}{where}"
    if record.end is None:
        return f"exit code 0 after {len(record.step)} of {settings.steps} steps{where}"
    return None


def _against_expectations(
    found: tuple[Finding, ...], info: ScenarioInfo, outcome: Outcome
) -> tuple[Finding, ...]:
    """Mark what the scenario declares as its own, and tell what it declares and did not show."""
    marked = tuple(
        msgspec.structs.replace(finding, expected=True) if finding.code in info.expects else finding
        for finding in found
    )
    if outcome is not Outcome.COMPLETED:
        return marked
    missed = set(info.expects) - {finding.code for finding in found}
    return marked + tuple(
        Finding(
            code="expectation_missed",
            severity=Severity.INFO,
            summary=f"the scenario expects {code}, which did not show",
            evidence={"expected": code},
        )
        for code in sorted(missed)
    )


def metrics(record: Record, ending: Ending) -> Metrics:
    """The figures of one run; what was not recorded is None."""
    compiled = bool(record.calls) and record.calls[-1] > 0
    trainable = record.end.trainable if record.end else None
    return Metrics(
        step_s=_step_times(record.seconds),
        phase_s={name: median(column[1:] or column) for name, column in record.phases.items()},
        loss=_loss(record.loss),
        memory=_memory(record, ending),
        traces=record.traces[-1] if compiled else None,
        graph_nodes_last=record.nodes[-1] if record.nodes else None,
        parameters_changed=trainable.changed > 0 if trainable else None,
        drain_s=record.end.drain_s if record.end else None,
    )


def _step_times(seconds: array[float]) -> StepTimes | None:
    if not seconds:
        return None
    return StepTimes(
        first=seconds[0],
        median=median(seconds),
        p99=quantile(seconds, 0.99),
        max=max(seconds),
    )


def _loss(losses: array[float]) -> LossSummary | None:
    if not losses:
        return None
    finite = [value for value in losses if math.isfinite(value)]
    return LossSummary(
        first=losses[0],
        last=losses[-1],
        min=min(finite, default=None),
        max=max(finite, default=None),
        finite=len(finite) == len(losses),
    )


def _memory(record: Record, ending: Ending) -> MemorySummary:
    def highest(column: array[int]) -> int | None:
        top = max(column, default=-1)
        return top if top >= 0 else None

    active, peak = highest(record.active), highest(record.peak)
    p = record.model.trainable_bytes if record.model else None
    return MemorySummary(
        active_peak=active,
        cache_peak=highest(record.cache),
        rss_peak=ending.rss_peak,
        parameter_bytes=p,
        active_over_p=active / p if active is not None and p else None,
        peak_over_p=peak / p if peak is not None and p else None,
    )
