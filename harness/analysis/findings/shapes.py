"""Findings about the shape of a loss that stays finite: dead, stuck at 0, or gone from its best.

See docs/reference/verdicts/loss.md for the thresholds and the reasons.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness import stats
from harness.analysis.findings.anew import beginnings, improves_elsewhere, weighed_anew
from harness.analysis.findings.figures import reward
from harness.analysis.findings.mixture import weight_changes
from harness.analysis.findings.trend import classes, resolution
from harness.beats.record import Record
from harness.model import Finding
from harness.model.finding import warning
from harness.text import units

ABRUPT = 50.0
"""Units of the print by which the last loss before a standstill differs from it. What converges
comes closer step by step."""
DIGITS = 500.0
"""Units of the print that a loss has at least which is said to stand: fewer hide its movement."""
ENOUGH = 60
"""Losses below which nothing is said of where they stand or go."""
BLOCKS = 20
"""Equal parts of the losses whose medians are compared."""
NOISES = 4.0
"""Spreads within a block by which the level has to lie above the best one."""
ROUGH = 3.0
"""...and this many times the usual change from one loss to the next."""
LOST = 0.2
"""The share of the best level, and of all that was learned, that has to be lost."""
MODEST = 0.4
"""The share of what was learned up to which a rise may be of another objective: what diverges and
comes to rest has lost more."""
SLOW = 3
"""Blocks that such a rise takes at least."""
RESTS = 1 / 3
"""The rise in the last third, as a share of an earlier third's, up to which it comes to rest."""
QUIET = 2.0
"""The factor by which the noise, as a share of the level, has grown at most."""
COMES = 0.4
"""The share of the rise that an earlier one had, which came and went."""
ROUNDABOUT = 1.5
"""The way of the levels, as a multiple of the fall and the rise, from which on a loss of both signs
wanders about: it has no scale, as a policy's has none."""
WIDER = 8.0
"""The factor by which the swings from read to read have grown."""


def loss_dead(record: Record) -> Iterator[Finding]:
    losses = record.loss
    if len(losses) < 10 or not math.isfinite(sum(losses)) or losses[-1] == 0:
        return
    last, unit = losses[-1], resolution(record, losses)
    if unit >= 0.01 or abs(last) < DIGITS * unit:
        return  # so few digits stand still while the loss moves
    tail = _equal_at_the_end(losses, 1e-6 * abs(last))
    if not max(10, len(losses) // 4) <= tail < len(losses):
        return
    if abs(losses[-tail - 1] - last) <= max(ABRUPT * unit, 0.01 * abs(last)):
        return
    step = record.loss_step[len(losses) - tail]
    number = classes(last, max(unit / 2, 1e-6 * abs(last)))
    yield warning(
        "loss_dead",
        f"the loss stands at {units.number(last, 6)} from step {step} on, in {tail} of "
        f"{len(losses)} reads" + _as_a_guess(number),
        step=step,
        value=last,
        count=tail,
        reads=len(losses),
        before=losses[-tail - 1],
        classes=number,
    )


def loss_zero(record: Record) -> Iterator[Finding]:
    losses = record.loss
    if len(losses) < 6 or not math.isfinite(sum(losses)) or reward(record) is not None:
        return
    tail = _equal_at_the_end(losses, 0.0) if losses[-1] == 0 else 0
    if not max(3, len(losses) // 10) <= tail < len(losses):
        return
    before = losses[: len(losses) - tail]
    # What converges goes through all that a print can show before it shows nothing.
    if before[-1] < 0.25 * stats.median(before[:3]) or before[-1] <= 0:
        return
    step = record.loss_step[len(losses) - tail]
    yield warning(
        "loss_zero",
        f"the loss is 0 from step {step} on, in {tail} of {len(losses)} reads, after "
        f"{units.number(before[-1])}: as if no label counted any more",
        step=step,
        count=tail,
        reads=len(losses),
        before=before[-1],
    )


def loss_left_best(record: Record) -> Iterator[Finding]:
    losses = record.loss
    if len(losses) < ENOUGH or not math.isfinite(sum(losses)) or reward(record) is not None:
        return  # the reward says more of a loss that follows the policy
    risen = _risen(losses, record.loss_step)
    for finding in risen:
        best_step = finding.evidence["best_step"]
        anew = (weighed_anew, improves_elsewhere, weight_changes)
        if any(told(record, best_step) for told in anew):
            return
    yield from risen or _swinging(record)


def _risen(losses: array[float], steps: array[int]) -> list[Finding]:
    """The loss fell, and then left its best level for good."""
    if len(losses) < ENOUGH:
        return []
    size = len(losses) // BLOCKS
    parts = [losses[at : at + size] for at in range(0, size * BLOCKS, size)]
    levels = [stats.median(part) for part in parts]
    noise = stats.median([stats.spread(part) for part in parts])
    # The best of many parts is low by chance, the more so the fewer losses each part has.
    rough = stats.median([abs(b - a) for a, b in pairwise(losses)])
    best = min(levels)
    at = levels.index(best)
    level = stats.median(levels[-BLOCKS // 4 :])
    learned, rise = max(levels[: at + 1]) - best, level - best
    least = max(NOISES * noise, ROUGH * rough, LOST * abs(best), LOST * learned, 1e-3)
    if rise <= least or learned <= max(NOISES * noise, 0.05 * abs(best)):
        return []
    anew = beginnings(losses)
    if anew:  # another training, or other data: it has a best level of its own
        return _risen(losses[anew[-1] :], steps[anew[-1] :])
    above = [value > best + rise / 2 for value in levels]
    since = len(above) - next((n for n, up in enumerate(reversed(above)) if not up), len(above))
    if len(levels) - since < BLOCKS // 5 or since <= at or _came_back(levels[:since], rise):
        return []
    if rise <= MODEST * learned and _settles(levels[at:], [stats.spread(p) for p in parts[at:]]):
        return []  # as where a weight of a part of the loss is raised step by step
    way = sum(abs(b - a) for a, b in pairwise(levels))
    if min(losses) < 0 < max(losses) and way > ROUNDABOUT * (learned + rise):
        return []
    best_step, step = steps[at * size], steps[since * size]
    return [
        warning(
            "loss_left_best",
            f"the loss was best at {units.number(best)} around step {best_step}, rose above that "
            f"from step {step} on, and ends at {units.number(level)}, unless the data or the "
            "objective changed there",
            best=best,
            best_step=best_step,
            step=step,
            level=level,
            noise=noise,
        )
    ]


def _settles(levels: Sequence[float], noises: Sequence[float]) -> bool:
    """Return True if they rise slowly, less and less, and end as quiet as they began."""
    begin, end = levels[0], stats.median(levels[-3:])
    rise, third = end - begin, (len(levels) - 1) // 3
    if third < SLOW or rise <= 0:
        return False
    above = [(level - begin) / rise for level in levels]
    slow = next(n for n, part in enumerate(above) if part >= 0.9)
    slow -= next(n for n, part in enumerate(above) if part >= 0.1)
    first, second = (stats.median(above[n - 1 : n + 2]) for n in (third, 2 * third))
    if slow < SLOW or 1 - second > RESTS * max(first, second - first):
        return False
    quiet = stats.median(noises[:3]) / max(abs(begin), 1e-12)
    return stats.median(noises[-3:]) <= QUIET * quiet * abs(end)


def _came_back(levels: Sequence[float], rise: float) -> bool:
    """Return True if they rose before, and fell again by about as much: what comes and goes, as
    losses of adversaries and of policies do, has not left for good."""
    low = high = levels[0]
    for level in levels:
        if high - low >= COMES * rise and high - level >= COMES * rise:
            return True
        if level < low:
            low = high = level
        high = max(high, level)
    return False


def _swinging(record: Record) -> list[Finding]:
    """The loss swings wider and wider from read to read."""
    losses = record.loss
    jumps = [abs(b - a) for a, b in pairwise(losses)]
    quarter = len(jumps) // 4
    swings = [stats.median(jumps[at * quarter : (at + 1) * quarter]) for at in range(4)]
    first = stats.median(losses[: max(3, len(losses) // 20)])
    rough = max(min(swings[:2]), resolution(record, losses))
    if rough > abs(first):
        return []  # around 0 there is no scale
    if not swings[1] < swings[2] < swings[3] or swings[3] <= max(WIDER * rough, 1e-6 * abs(first)):
        return []
    if stats.quantile(losses[-quarter:], 0.9) <= first or beginnings(losses):
        return []  # each training of several falls from a level of its own
    step = record.loss_step[2 * quarter]
    return [
        warning(
            "loss_left_best",
            f"the loss swings ever wider: by {units.number(rough)} from read to read at first, by "
            f"{units.number(swings[3])} at the end, and above where it began",
            best=min(losses),
            step=step,
            swing_first=rough,
            swing_last=swings[3],
        )
    ]


def _equal_at_the_end(losses: array[float], within: float) -> int:
    last = losses[-1]
    for count, loss in enumerate(reversed(losses)):
        if abs(loss - last) > within:
            return count
    return len(losses)


def _as_a_guess(number: int | None) -> str:
    return "" if number is None else f": the loss of a uniform guess over {number} classes"
