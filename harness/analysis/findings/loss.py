"""Findings about losses, gradients and final parameters.

An explosion is judged against the run's own first losses, never against an absolute value; see
docs/reference/verdicts/loss.md for the thresholds and the reasons.
"""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Iterator
from itertools import pairwise

from harness import stats
from harness.analysis.findings.anew import beginnings
from harness.analysis.findings.figures import is_part, not_finite, reward
from harness.analysis.findings.figures import norms as printed_norms
from harness.analysis.findings.trend import classes, error_of_median, falls, resolution
from harness.beats.file import number
from harness.beats.record import Record
from harness.model import Finding
from harness.model.finding import error, info, warning
from harness.text import units

FLAT = 1e-6
"""Relative range below which losses differ by rounding only: some ten units of a float32."""
SPREADS = 10.0
"""Spreads above the losses before, from which on a loss is out of the ordinary."""
FLOOR = 1.0
"""A smaller rise is no explosion: losses that start around 0 give no scale of their own."""
ANEW = 10.0
"""The factor above the first losses from which on a jump is no other training, though it falls."""
FAR = 100.0
"""The factor by which a loss has blown up that falls again, but not to where it was."""
WINDOW = 50
"""Losses that "the first" or "those around it" are at most."""
COARSE = 0.01
"""The step between two printed losses from which on equal ones say nothing."""
ENOUGH = 50
"""Losses below which nothing is said of whether they fall."""


def loss_not_finite(record: Record) -> Iterator[Finding]:
    losses = record.loss
    bad = len(losses) - sum(map(math.isfinite, losses))
    if not bad:
        yield from _null(record)
        if not losses:
            yield from _of_parts(record)
        return
    first = next(i for i, loss in enumerate(losses) if not math.isfinite(loss))
    step = record.loss_step[first]
    yield error(
        "loss_not_finite",
        f"the loss is {losses[first]} from step {step} on"
        if bad == len(losses) - first
        else f"the loss is {losses[first]} at step {step}, and not finite in {bad} of "
        f"{len(losses)} reads",
        step=step,
        value=number(losses[first]),
        count=bad,
        reads=len(losses),
    )


def _null(record: Record) -> Iterator[Finding]:
    """Losses that JSON gives as null: no number, if none comes after them."""
    nulls = record.figures.get("loss")
    if nulls is None:
        return
    step = nulls.step[0]
    numbers = record.loss_step
    if not numbers or numbers[-1] >= step:
        return
    count, reads = len(nulls.step), len(nulls.step) + len(numbers)
    yield error(
        "loss_not_finite",
        f"the loss is null, which is no number, from step {step} on, in {count} of {reads} reads",
        step=step,
        value="nan",
        count=count,
        reads=reads,
    )


def _of_parts(record: Record) -> Iterator[Finding]:
    """Losses of several that are trained together, where none is called the loss."""
    for name, series in record.figures.items():
        told = not_finite(series) if is_part(name) else None
        if told is not None and not math.isfinite(series.value[-1]):
            words, evidence = told
            yield error("loss_not_finite", f"{name} is {words}", **evidence)
            return


def gradients_not_finite(record: Record) -> Iterator[Finding]:
    norms = [(beat.step, float(beat.norm)) for beat in record.gradients] + printed_norms(record)
    bad = [(step, norm) for step, norm in norms if not math.isfinite(norm)]
    if not bad:
        return
    # A trainer that scales its loss overflows now and then on purpose, skips the step and goes on.
    recovered = math.isfinite(norms[-1][1])
    step, norm = bad[0]
    on = norms.index(bad[0]) + len(bad) == len(norms) and len(bad) > 1
    yield (warning if recovered else error)(
        "gradients_not_finite",
        f"the norm of the gradients is {norm} {f'from step {step} on' if on else f'at step {step}'}"
        f", in {len(bad)} of "
        f"{units.plural(len(norms), 'look')}" + (", and finite again later" if recovered else ""),
        step=step,
        value=number(norm),
        count=len(bad),
        looks=len(norms),
        recovered=recovered,
    )


def parameters_not_finite(record: Record) -> Iterator[Finding]:
    names = record.end.not_finite if record.end else ()
    if names:
        yield error(
            "parameters_not_finite",
            f"after the last step these hold NaN or infinity: {', '.join(names[:3])}"
            + (", ..." if len(names) > 3 else ""),
            names=list(names),
        )


def loss_exploded(record: Record) -> Iterator[Finding]:
    losses = record.loss
    if len(losses) < 3 or not _all_finite(losses):
        return
    head = max(3, min(len(losses) // 5, WINDOW))
    tail, first = _above_the_first(losses, head), stats.median(losses[:head])
    if not tail:
        tail, first = _above_the_very_first(losses), losses[0]
    if not tail:
        yield from _blown_up(record)
        return
    level, step = stats.median(losses[-tail:]), record.loss_step[len(losses) - tail]
    if max(losses) < ANEW * abs(first) and _begins_anew(losses, tail):
        return
    yield error(
        "loss_exploded",
        f"the loss went from {units.number(first)} to {units.number(level)} at step {step} and "
        f"stays there: the last {units.plural(tail, 'read')} lie far above the first",
        step=step,
        first=first,
        level=level,
        last=losses[-1],
        reads=tail,
    )


def _above_the_first(losses: array[float], head: int) -> int:
    """Count the last losses that lie far above the first `head`; 0 when too few to count.

    The fewer reads there are to show it, the farther above they must be.
    """
    center = stats.median(losses[:head])
    for enough, factor in ((max(5, len(losses) // 10), 3.0), (3, 10.0)):
        tail = _tail_above(losses, center + max((factor - 1) * abs(center), FLOOR))
        before = losses[: len(losses) - tail]
        if tail < max(enough, len(losses) // 10) or len(before) < 2:
            continue
        if stats.median(losses[-tail:]) > center + SPREADS * _noise(before):
            return tail
    return 0


def _above_the_very_first(losses: array[float]) -> int:
    """Count the losses after the first, if all of them lie far above it; else 0.

    The first update alone may blow up a run, and then only the first loss was ever sane. One value
    has no spread: that of the later ones, as factors, has to say how far apart losses may be.
    """
    first, others = losses[0], losses[1:]
    if first < FLOOR / 10 or min(others) <= 2 * first or stats.median(others) - first < FLOOR:
        return 0
    factors = [math.log(loss) - math.log(first) for loss in stats.sample(others)]
    settled = [
        math.log(loss) - math.log(first) for loss in stats.sample(others[len(others) // 2 :])
    ]
    if len(others) < 5:
        enough = math.log(1000)
    else:
        enough = max(math.log(10), 3 * statistics.stdev(factors), 6 * statistics.stdev(settled))
    return len(others) if stats.median(settled) > enough else 0


def _begins_anew(losses: array[float], tail: int) -> bool:
    """Return True if the last `tail` losses begin where another training or objective does."""
    near = max(3, len(losses) // 20)
    return any(abs(len(losses) - tail - start) <= near for start in beginnings(losses))


def _blown_up(record: Record) -> Iterator[Finding]:
    """A loss that falls, but from far above what it was before it blew up."""
    losses = record.loss
    top = max(losses)
    at = losses.index(top)
    after = losses[at:]
    if not at or len(after) < 6:
        return
    best = min(losses[:at])
    if top < FAR * max(best, FLOOR / 10) or min(after) <= best + max(2 * abs(best), FLOOR):
        return
    levels = [level for _, level in stats.blocks(after)] if len(after) > 40 else list(after)
    falling = sum(b < a for a, b in pairwise(levels))
    if falling < 0.8 * (len(levels) - 1):
        return
    yield error(
        "loss_exploded",
        f"the loss rose from {units.number(best)} to {units.number(top)} at step "
        f"{record.loss_step[at]}, and falls from there: it ends at {units.number(losses[-1])}",
        step=record.loss_step[at],
        first=best,
        level=stats.median(after),
        last=losses[-1],
        reads=len(after),
    )


def _noise(losses: array[float]) -> float:
    """The spread of `losses`; of a few, whose median deviation is small by chance, a third of
    their range if that is more."""
    few = len(losses) < 10
    return max(stats.spread(losses), (max(losses) - min(losses)) / 3 if few else 0.0)


def _tail_above(losses: array[float], threshold: float) -> int:
    for below, loss in enumerate(reversed(losses)):
        if loss <= threshold:
            return below
    return len(losses)


def loss_spike(record: Record) -> Iterator[Finding]:
    losses = record.loss
    if len(losses) < 6 or not _all_finite(losses):
        return
    top = max(losses)
    at = losses.index(top)
    before, after = losses[max(0, at - WINDOW) : at], losses[at + 1 : at + 1 + WINDOW]
    if len(before) < 3 or len(after) < 2:
        return
    level = stats.median(before)
    height = top - level
    if height <= max(SPREADS * _noise(before), abs(level)):
        return
    if min(after) - level > height / 2:
        return
    yield info(
        "loss_spike",
        f"the loss rises to {units.number(top)} at step {record.loss_step[at]}, from "
        f"{units.number(level)} before it, and comes down again",
        step=record.loss_step[at],
        value=top,
        before=level,
        after=stats.median(after),
    )


def loss_flat(record: Record) -> Iterator[Finding]:
    losses = record.loss
    if len(losses) < 3 or not _all_finite(losses):
        return
    low, high = min(losses), max(losses)
    if high - low > FLAT * max(abs(low), abs(high)):
        return
    if resolution(record, losses) >= COARSE or reward(record) is not None:
        return  # so few digits hide a loss that moves; and some losses are 0 by construction
    yield warning(
        "loss_flat",
        f"all {len(losses)} losses are "
        + ("the same to the last bit" if low == high else "the same but for rounding")
        + f": {units.number(low, 6)}",
        reads=len(losses),
        value=low,
        range=high - low,
    )


def loss_not_falling(record: Record) -> Iterator[Finding]:
    losses = record.loss
    if len(losses) < ENOUGH or not _all_finite(losses):
        return
    if max(losses) - min(losses) <= FLAT * max(map(abs, losses)):
        return  # which is flat
    if reward(record) is not None:
        return  # the reward says more of it
    slope = falls(losses)
    if slope is None or beginnings(losses):
        return  # each training of several has fallen
    third = len(losses) // 3
    first, level = stats.median(losses[:third]), stats.median(losses[-third:])
    unit = resolution(record, losses)
    near = max(3 * error_of_median(losses), stats.spread(losses) / 2, unit / 2)
    guess = classes(stats.median(losses), near)
    yield (info if guess is None else warning)(
        "loss_not_falling",
        f"the loss has not fallen over {len(losses)} reads (median {units.number(first)} in their "
        f"first third, {units.number(level)} in their last): "
        + (
            "the run learns nothing, or it had converged before"
            if guess is None
            else f"it is the loss of a uniform guess over {guess} classes, so nothing is learned"
        ),
        first=first,
        last=level,
        reads=len(losses),
        per_read=slope.value,
        per_read_margin=slope.margin,
        classes=guess,
    )


def _all_finite(losses: array[float]) -> bool:
    return all(map(math.isfinite, losses))
