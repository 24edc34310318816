"""Findings about the figures that a log gives beside its loss.

Which of them mean something is known by their names. A speed may be infinite in a first report,
and says nothing of the training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness import stats
from harness.analysis.findings.trend import rises
from harness.beats.file import number
from harness.beats.record import Record, Series
from harness.logs.reading import VALIDATIONS
from harness.model import Finding
from harness.model.finding import info, warning
from harness.text import units

ENOUGH = 50
"""Rewards below which nothing is said of whether they rise."""
_SPEEDS = ("per_s", "it_s", "s_it", "throughput", "speed", "flops", "mfu", "runtime")
_NORMS = frozenset(("gnorm", "norm", "global_norm", "grad"))
_OTHERS = VALIDATIONS | {"scale", "scaler", "weight", "best"}
_REWARDED = """reward rewards reward_mean rewards_mean mean_reward mean_rewards avg_reward
    average_reward total_reward total_rewards train_reward train_rewards episode_reward return
    mean_return episodic_return ep_rew_mean rollout_ep_rew_mean critic_rewards_mean
    critic_score_mean"""
_REWARDS = frozenset(_REWARDED.split())


def is_norm(name: str) -> bool:
    """Return True for the name of a norm of the gradients."""
    return name in _NORMS or ("grad" in name and "norm" in name)


def is_part(name: str) -> bool:
    """Return True for the name of one of several training losses: `loss_d`, `critic_loss`."""
    words = set(name.split("_"))
    return "loss" in words and not words & _OTHERS


def norms(record: Record) -> list[tuple[int, float]]:
    """The norms of the gradients that a log gives, with their steps."""
    return [
        pair
        for name, series in record.figures.items()
        if is_norm(name)
        for pair in zip(series.step, series.value, strict=True)
    ]


def reward(record: Record) -> Series | None:
    """The reward that a log gives, where there are enough of them to judge by."""
    for name, series in record.figures.items():
        if name in _REWARDS and len(series.value) >= ENOUGH:
            return series
    return None


def validation_not_finite(record: Record) -> Iterator[Finding]:
    series = record.figures.get("val_loss")
    if series is not None and (told := not_finite(series)) is not None:
        words, evidence = told
        yield warning("validation_not_finite", f"the validation's loss is {words}", **evidence)


def figure_not_finite(record: Record) -> Iterator[Finding]:
    if not math.isfinite(sum(record.loss)):
        return  # which says it of all
    for name, series in record.figures.items():
        if name in ("loss", "val_loss") or is_norm(name) or any(part in name for part in _SPEEDS):
            continue
        told = not_finite(series)
        if told is None:
            continue
        words, evidence = told
        recovered = math.isfinite(series.value[-1])
        if not recovered and not record.loss and is_part(name):
            continue  # which is the loss then
        yield (info if recovered else warning)(
            "figure_not_finite",
            f"{name} is {words}" + (", and finite again later" if recovered else ""),
            name=name,
            recovered=recovered,
            **evidence,
        )


def reward_not_rising(record: Record) -> Iterator[Finding]:
    series = reward(record)
    if series is None or not all(map(math.isfinite, series.value)):
        return
    if rises(series.value):
        return
    third = len(series.value) // 3
    first, last = stats.median(series.value[:third]), stats.median(series.value[-third:])
    yield info(
        "reward_not_rising",
        f"the reward has not risen over {len(series.value)} reads (median {units.number(first)} in "
        f"their first third, {units.number(last)} in their last)",
        first=first,
        last=last,
        reads=len(series.value),
    )


def not_finite(series: Series) -> tuple[str, dict[str, object]] | None:
    """The words and the evidence, where any value is not finite."""
    values = series.value
    bad = [at for at, value in enumerate(values) if not math.isfinite(value)]
    if not bad:
        return None
    value, step = values[bad[0]], series.step[bad[0]]
    reads = units.plural(len(values), "read")
    if len(bad) == len(values):
        words = f"{value} in every one of {reads}"
    elif len(bad) == len(values) - bad[0]:
        words = f"{value} from step {step} on, in {len(bad)} of {reads}"
    else:
        words = f"{value} at step {step}, and not finite in {len(bad)} of {reads}"
    return words, {
        "step": step, "value": number(value), "count": len(bad), "reads": len(values)
    }  # fmt: skip
