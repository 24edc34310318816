"""Facts of a LearningBeat and the losses together, as the findings about learning ask it."""

from __future__ import annotations

import math

from harness import stats
from harness.analysis.findings.trend import falls
from harness.beats.record import Record
from harness.model.beats import Gradients, LearningBeat
from harness.text.units import number

ERASED = 1e-3
"""The share of a gradient that is left where something has taken it away."""
FALLEN_SOME = 0.1
"""The share of the first losses by which the last ones lie below them where a run has learned."""
ENOUGH = 50
"""Losses below which nothing is said of whether they fall."""
READS = 4
"""Losses below which equal ones may be chance."""


def stands_still(seen: LearningBeat) -> bool:
    """Return True if the parameters were seen not to move."""
    return seen.trainable is not None and seen.trainable.total > 0 and not seen.trainable.changed


def has_no_gradient(seen: LearningBeat) -> bool:
    """Return True if each gradient that was seen is exactly 0."""
    if seen.gradients is not None:
        return seen.gradients.tensors > 0 and seen.gradients.zero == seen.gradients.tensors
    return seen.moments is not None and seen.moments.total > 0 and not seen.moments.changed


def is_erased(gradients: Gradients | None) -> bool:
    """Return True if gradients were computed, and hardly anything of them was given on."""
    if gradients is None or gradients.made is None or not gradients.tensors:
        return False
    made, given = as_float(gradients.made), as_float(gradients.largest)
    return math.isfinite(made) and made > 0 and given < ERASED * made


def has_no_loss(record: Record) -> bool:
    """Return True if the loss is nothing but 0, or no number: as if no label counted."""
    return len(record.loss) > 0 and all(
        loss == 0 or not math.isfinite(loss) for loss in record.loss
    )


def loss_stands(record: Record) -> bool:
    """Return True if the losses are the same, or there are enough of them and they do not fall."""
    losses = record.loss
    if len(losses) < READS or not all(map(math.isfinite, losses)):
        return False
    if max(losses) - min(losses) <= 1e-6 * max(map(abs, losses)):
        return True
    return len(losses) >= ENOUGH and falls(losses) is not None


def has_fallen(record: Record) -> bool:
    """Return True if the loss lies a tenth below where it began: something was learned."""
    third = len(record.loss) // 3
    if not third or not all(map(math.isfinite, record.loss)):
        return False
    first, last = stats.median(record.loss[:third]), stats.median(record.loss[-third:])
    return last < first - FALLEN_SOME * abs(first)


def at(seen: LearningBeat) -> str:
    """` at train.py:12`; empty where the place is not known."""
    return f" at {seen.place}" if seen.place else ""


def with_rate(seen: LearningBeat) -> str:
    """` (the learning rate is 0.001)`; empty where it is not known."""
    return "" if seen.rate is None else f" (the learning rate is {number(as_float(seen.rate))})"


def as_float(value: float | str | None) -> float:
    """A number as a beat has it: text where it is not finite, None (NaN) where nobody read it."""
    return math.nan if value is None else float(value)
