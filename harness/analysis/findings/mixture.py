"""A loss that is one part and a weight times another, with a weight that changes.

A log that gives the loss and its parts gives the weight too: what is left of the loss beside one
part, divided by the other. Noise of the parts would show in it. A schedule shows as one direction,
as exactly as the prints allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, permutations
from typing import TypeAlias

from harness.analysis.findings.anew import LAGS, LOWER
from harness.analysis.findings.trend import unit
from harness.beats.record import Record
from harness.logs.reading import VALIDATIONS

_Part: TypeAlias = dict[int, float]
"""The values of one figure, by their steps."""
MOST = 6
"""Parts that are tried with each other."""
ENOUGH = 30
"""Reads in which the loss and both parts are given."""
ROUNDINGS = 40.0
"""The change of a weight, as a multiple of what the prints hide of it."""
CHANGED = 0.05
"""The change of a weight after the best loss, as a share of its largest."""


def weight_changes(record: Record, since: int) -> bool:
    """Return True if the loss is a part and another one by a weight, which changes after a step."""
    losses = dict(zip(record.loss_step, record.loss, strict=True))
    parts = list(_parts(record))
    return any(
        _is_schedule(_weights(losses, added, weighted), since)
        for added, weighted in permutations(parts, 2)
    )


def _weights(losses: _Part, added: _Part, weighted: _Part) -> list[tuple[int, float, float]]:
    """Each step, the weight that the figures give there, and what their prints hide of it."""
    hidden, of_added, of_weighted = (_unit(part) for part in (losses, added, weighted))
    weights = []
    for step, by in weighted.items():
        if step in losses and step in added and by:
            weight = (losses[step] - added[step]) / by
            error = (hidden + of_added + abs(weight) * of_weighted) / abs(by)
            weights.append((step, weight, error))
    return weights


def _parts(record: Record) -> Iterator[_Part]:
    """The figures that a loss can be made of."""
    count = 0
    for name, series in record.figures.items():
        words = set(name.split("_"))
        if not words & LOWER or words & (LAGS | VALIDATIONS):
            continue
        if math.isfinite(sum(series.value)) and count < MOST:
            count += 1
            yield dict(zip(series.step, series.value, strict=True))


def _unit(part: _Part) -> float:
    """Half of the step between two values that the prints can tell apart, and what floats hide."""
    return unit(list(part.values())) / 2 + 1e-6 * max(map(abs, part.values()))


def _is_schedule(weights: Sequence[tuple[int, float, float]], since: int) -> bool:
    """Return True if weights go one way only, and far after a step: beyond what is hidden."""
    later = [weight for step, weight, _ in weights if step >= since]
    if len(weights) < ENOUGH or not later:
        return False
    span = max(abs(later[-1] - weight) for weight in later)
    hidden = max(error for _, _, error in weights)
    if span <= max(CHANGED * max(abs(weight) for _, weight, _ in weights), ROUNDINGS * hidden):
        return False
    changes = [(now - before, e + f) for (_, before, e), (_, now, f) in pairwise(weights)]
    rises = all(change >= -error for change, error in changes)
    return rises or all(change <= error for change, error in changes)
