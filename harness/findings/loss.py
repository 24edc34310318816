"""What the loss and the gradients show."""

from __future__ import annotations

import math

from harness.model import Finding, Settings, Severity
from harness.record import Record
from harness.stats import median, quantile, spread

CODES = {
    "loss_not_finite": "the loss became NaN or infinite",
    "gradients_not_finite": "a gradient was NaN or infinite",
    "loss_exploded": "the loss stays far above where it began",
    "loss_spike": "the loss jumped and came back",
    "loss_flat": "the loss is the same in every step",
    "check_failed": "two numbers that ought to agree differ",
}
REFERENCE = 20
"""How many of the first losses are the measure of the later ones, at most."""


def not_finite(record: Record, settings: Settings) -> Finding | None:
    for step, value in zip(record.loss_step, record.loss, strict=True):
        if not math.isfinite(value):
            return Finding(
                code="loss_not_finite",
                severity=Severity.ERROR,
                summary=f"the loss is {value} in step {step}",
                evidence={"step": step, "loss": value},
            )
    return None


def gradients_not_finite(record: Record, settings: Settings) -> Finding | None:
    for beat in record.gradients:
        if not math.isfinite(float(beat.norm)):
            return Finding(
                code="gradients_not_finite",
                severity=Severity.ERROR,
                summary=f"the gradients' norm is {beat.norm} in step {beat.step}",
                evidence={"step": beat.step, "norm": float(beat.norm)},
            )
    return None


def exploded(record: Record, settings: Settings) -> Finding | None:
    """Every one of the last losses is beyond what the first ones make plausible.

    The level is median + max(10 robust standard deviations, twice the median's size) of the first
    third. A spike recovers and so does not fill the end of the run; a noisy run has a large
    deviation of its own; a rise by some per cent stays below three times the start.
    """
    losses = record.loss
    if len(losses) < 6:
        return None
    first = losses[: min(REFERENCE, max(3, len(losses) // 3))]
    last = losses[-max(3, len(losses) // 10) :]
    if not all(math.isfinite(value) for value in (*first, *last)):
        return None
    start = median(first)
    level = start + max(10 * spread(first), 2 * abs(start))
    if min(last) <= level or min(last) <= max(first):
        return None
    return Finding(
        code="loss_exploded",
        severity=Severity.ERROR,
        summary=f"the loss began at {start:.4g} and is at least {min(last):.4g} in each of the "
        f"last {len(last)} steps",
        evidence={"start": start, "level": level, "last_min": min(last), "reads": len(last)},
    )


def spike(record: Record, settings: Settings) -> Finding | None:
    """A loss above what its neighbours on both sides make plausible."""
    losses = record.loss
    if len(losses) < 8 or not all(map(math.isfinite, losses)) or exploded(record, settings):
        return None
    index = max(
        range(2, len(losses) - 2), key=lambda i: losses[i] - max(losses[i - 2], losses[i - 1])
    )
    near = [*losses[max(0, index - 8) : index], *losses[index + 1 : index + 9]]
    level = median(near) + max(10 * spread(near), abs(median(near)))
    if losses[index] <= max(level, quantile(near, 1.0)) or losses[-1] > level:
        return None
    return Finding(
        code="loss_spike",
        severity=Severity.INFO,
        summary=f"the loss is {losses[index]:.4g} in step {record.loss_step[index]} and "
        f"{median(near):.4g} around it",
        evidence={"step": record.loss_step[index], "loss": losses[index], "around": median(near)},
    )


def flat(record: Record, settings: Settings) -> Finding | None:
    """No change beyond the last digits of a float32; a loss that varies by batch is not flat."""
    losses = record.loss
    if len(losses) < 5 or not all(map(math.isfinite, losses)):
        return None
    low, high = min(losses), max(losses)
    if high - low > 1e-6 * max(abs(low), abs(high)):
        return None
    return Finding(
        code="loss_flat",
        severity=Severity.WARNING,
        summary=f"the loss is {losses[0]:.6g} in all {len(losses)} steps that read it",
        evidence={"loss": losses[0], "reads": len(losses)},
    )


def check_failed(record: Record, settings: Settings) -> Finding | None:
    failed = [beat for beat in record.checks if not beat.ok]
    if not failed:
        return None
    first = failed[0]
    return Finding(
        code="check_failed",
        severity=Severity.ERROR,
        summary=f"{first.name}: {first.value} where {first.expected} was expected, in step "
        f"{first.step}" + (f" and {len(failed) - 1} more" if len(failed) > 1 else ""),
        evidence={
            "name": first.name,
            "step": first.step,
            "value": float(first.value),
            "expected": float(first.expected),
            "failed": len(failed),
            "checked": len(record.checks),
        },
    )


DETECTORS = (not_finite, gradients_not_finite, exploded, spike, flat, check_failed)
