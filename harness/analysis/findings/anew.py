"""Losses of several trainings in one run, and of one whose data or objective changes.

A loss that jumps up and then falls again is no worse: it is another training of a sweep, or harder
data. See docs/reference/verdicts/loss.md for the rule and the reasons.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness import stats
from harness.analysis.findings.trend import error_of_median
from harness.beats.record import Record

ALIKE = 1.2
"""The factor by which a jump may be higher than one after which the loss fell again: of a further
one alike the fall need not be seen, as where the run ends soon after it."""
POINTS = 1000
"""Points that are looked at of a longer series."""
NOISES = 6.0
"""Usual changes from point to point by which a jump has to exceed them."""
JUMP = 0.15
"""The share of the range of all losses that a jump has at least."""
SAME = 0.1
"""The share of what the first training learned, within which another one begins where it did."""
BACK = 1 / 3
"""The share of the jump that is learned again, wherever it begins."""
WEIGHTS = frozenset(
    ("anneal", "beta", "coef", "coeff", "difficulty", "lambda", "stage", "weight", "weights")
)
"""Words of the name of a figure that says what the loss is made of."""
OF_PARAMETERS = frozenset(("decay", "norm", "norms", "grad", "std", "rms"))
"""Words of the name of a figure whose weights are the parameters, which change in each step."""
HIGHER = frozenset(
    ("acc", "accuracy", "auc", "bleu", "f1", "iou", "map", "precision", "psnr", "recall", "return")
    + ("rew", "reward", "rewards", "score", "ssim", "success")
)
"""Words of the name of a figure that is better the higher it is."""
LOWER = frozenset(
    ("bpb", "ce", "cer", "err", "error", "kl", "loss", "mae", "mse", "nll", "perplexity", "ppl")
    + ("recon", "reconstruction", "rmse", "wer")
)
"""Words of the name of a figure that is better the lower it is."""
LAGS = frozenset(
    ("average", "avg", "ema", "mean", "moving", "running", "scale", "smooth", "smoothed")
)
"""Words of the name of what is a mean over time, which falls long after the loss has turned."""
ENOUGH = 5
"""Values of a figure before a step, and after it, that are compared."""
ERRORS = 3.0
"""Standard errors by which the medians of two parts of a figure have to differ."""
LEARNED = 0.1
"""The share of the jump that was learned before it."""


def beginnings(losses: Sequence[float]) -> list[int]:
    """The indices, rising, at which the loss jumps up, and from which on it falls again.

    The losses must be finite. A jump that the loss stays at, or a slow rise, is none.
    """
    points = stats.blocks(losses, POINTS)
    values = [value for _, value in points]
    width = max(3, min(10, len(values) // 40))
    if len(values) < 4 * width:
        return []
    found: list[int] = []
    first = max(values[:width])
    began, alike = 0, 0.0
    jumps = _jumps(values, width)
    for n, at in enumerate(jumps):
        end = jumps[n + 1] if n + 1 < len(jumps) else len(values)
        jump = max(values[at : at + width]) - stats.median(values[at - width : at])
        if jump <= ALIKE * alike or _is_anew(values, began, at, end, first, width):
            found.append(at)
            began, alike = at, max(alike, jump)
    return [points[at][0] for at in found]


def weighed_anew(record: Record, since: int) -> bool:
    """Return True if a log gives a weight of a part of the loss, and it changes after a step."""
    for name, series in record.figures.items():
        words = name.split("_")
        if WEIGHTS.isdisjoint(words) or not OF_PARAMETERS.isdisjoint(words):
            continue
        before = [value for at, value in zip(series.step, series.value, strict=True) if at <= since]
        if before and abs(series.value[-1] - before[-1]) > 0.01 * abs(before[-1]):
            return True
    return False


def improves_elsewhere(record: Record, since: int) -> bool:
    """Return True if a figure that tells how good the model is goes on improving after a step, and
    none becomes worse: the loss is then made of something else than before."""
    better = [_improves(series, since) for series in _rated(record)]
    return 1 in better and -1 not in better


def _rated(record: Record) -> Iterator[tuple[array[int], list[float]]]:
    """The steps and values of each figure that rates the model, as its improvement."""
    for name, series in record.figures.items():
        words = set(name.split("_"))
        sign = bool(words & HIGHER) - bool(words & LOWER)
        if sign and not words & LAGS and math.isfinite(sum(series.value)):
            yield series.step, [sign * value for value in series.value]


def _improves(series: tuple[array[int], list[float]], since: int) -> int:
    """1 if a figure is better at its end than around a step, -1 if it is worse, 0 if neither."""
    steps, values = series
    at = bisect_right(steps, since)
    part = max(ENOUGH, len(values) // 10)
    before, after = values[max(0, at - part) : at + part // 2], values[-2 * part :]
    if len(before) < ENOUGH or len(values) - at < 3 * part:
        return 0
    rise = stats.median(after) - stats.median(before)
    least = ERRORS * math.hypot(*map(error_of_median, (before, after)))
    return 0 if abs(rise) <= least else int(math.copysign(1, rise))


def _jumps(values: Sequence[float], width: int) -> list[int]:
    """The places where the level rises within `width` points, each where it rises most."""
    middles = [stats.median(values[at : at + width]) for at in range(len(values) - width + 1)]
    rises = {at: middles[at] - middles[at - width] for at in range(width, len(middles))}
    least = max(NOISES * _usual(values), JUMP * (max(middles) - min(middles)))
    places: list[int] = []
    for at, rise in sorted(rises.items(), key=lambda item: -item[1]):
        if rise <= least:
            break
        if all(abs(at - other) >= 2 * width for other in places):
            places.append(at)
    return sorted(places)


def _is_anew(
    values: Sequence[float], began: int, at: int, end: int, first: float, width: int
) -> bool:
    """Return True if the values fall up to `at` and, from a level above that, fall before `end`."""
    before = stats.median(values[at - width : at])
    top = max(values[at : at + width])
    after = min(stats.median(values[n : n + width]) for n in range(at, max(at, end - width) + 1))
    jump = top - before
    least = 4 * max(map(_usual, (values, values[began:at], values[at:end])))
    learned, again = max(values[began : began + width]) - before, top - after
    if learned <= max(least, LEARNED * jump) or again <= max(least, LEARNED * jump):
        return False
    return again >= BACK * jump or abs(top - first) <= SAME * (first - min(values[:at]))


def _usual(values: Sequence[float]) -> float:
    return stats.median([abs(b - a) for a, b in pairwise(values)])
