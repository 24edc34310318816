"""What the step times show."""

from __future__ import annotations

from harness.model import Finding, Settings, Severity
from harness.record import Record
from harness.stats import median

CODES = {
    "step_time_jump": "from one step on, every step takes several times as long",
    "slow_step": "a single step took far longer than the others",
    "first_step_slow": "the first step took far longer than the others",
    "deferred_work": "much was left to evaluate after the last step",
}
RATIO = 3.0
LEAST_S = 0.1
"""Differences below this are a busy machine's, not the program's."""
_WINDOW = 64


def step_time_jump(record: Record, settings: Settings) -> Finding | None:
    """A lasting change of level, by at least three times: medians of the steps on both sides."""
    seconds = record.seconds
    if len(seconds) < 4:
        return None
    stride = max(1, len(seconds) // 256)
    best = None
    for k in sorted({1, 2, 3, *range(1, len(seconds) - 2, stride)}):
        if k > len(seconds) - 3:
            continue
        before = median(seconds[max(0, k - _WINDOW) : k])
        # The lower quartile would do for one outlier; the minimum of a few asks that all are slow.
        after = seconds[k : k + _WINDOW]
        level = median(after)
        slow = min(after[:3]) > RATIO * before
        if slow and level > RATIO * before and level - before > LEAST_S:
            gain = level / max(before, 1e-9)
            if best is None or gain > best[3]:
                best = (k, before, level, gain)
    if best is None:
        return None
    k, before, level, gain = best
    return Finding(
        code="step_time_jump",
        severity=Severity.WARNING,
        summary=f"from step {record.step[k]} on a step takes {level:.3g} s, {gain:.1f} times the "
        f"{before:.3g} s before",
        evidence={"step": record.step[k], "before_s": before, "after_s": level, "ratio": gain},
    )


def slow_step(record: Record, settings: Settings) -> Finding | None:
    seconds = record.seconds
    if len(seconds) < 4:
        return None
    usual = median(seconds)
    index = max(range(1, len(seconds)), key=lambda i: seconds[i])
    if seconds[index] < 10 * usual or seconds[index] - usual < 5 * LEAST_S:
        return None
    phase = max(record.phases, key=lambda name: record.phases[name][index])
    return Finding(
        code="slow_step",
        severity=Severity.INFO,
        summary=f"step {record.step[index]} took {seconds[index]:.3g} s, most of it in phase "
        f"{phase}; the median is {usual:.3g} s",
        evidence={
            "step": record.step[index],
            "seconds": seconds[index],
            "median_s": usual,
            "phase": phase,
        },
    )


def first_step_slow(record: Record, settings: Settings) -> Finding | None:
    seconds = record.seconds
    if len(seconds) < 3:
        return None
    usual = median(seconds[1:])
    if seconds[0] < 5 * usual or seconds[0] - usual < 5 * LEAST_S:
        return None
    return Finding(
        code="first_step_slow",
        severity=Severity.INFO,
        summary=f"step 0 took {seconds[0]:.3g} s, later ones {usual:.3g} s: compilation or warm-up",
        evidence={"first_s": seconds[0], "median_s": usual},
    )


def deferred_work(record: Record, settings: Settings) -> Finding | None:
    if record.end is None or not record.seconds:
        return None
    usual = median(record.seconds)
    if record.end.drain_s < max(LEAST_S, RATIO * usual):
        return None
    return Finding(
        code="deferred_work",
        severity=Severity.WARNING,
        summary=f"{record.end.drain_s:.3g} s of work was still pending after the last step; a step "
        f"takes {usual:.3g} s",
        evidence={"drain_s": record.end.drain_s, "median_s": usual},
    )


DETECTORS = (step_time_jump, slow_step, first_step_slow, deferred_work)
