"""What differs between the variations: each against the baseline, only where it matters."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import RunResult, ScenarioResult
from harness.report.text import cell, seconds, table
from harness.scenario import BASELINE

FACTOR = 1.5
"""Peaks that differ by less are not told apart here."""
TIME_FACTOR = 2.0
"""Nor step times: on a busy machine the baseline and its twin differ by up to half."""


def differences(run: RunResult) -> str:
    """A row for each scenario that differs from the baseline, with what differs in words."""
    first = {result.scenario: result for result in reversed(run.results)}
    base = first.pop(BASELINE, None)
    if base is None:
        return f"`{BASELINE}` was not run: there is nothing to compare with."
    if not first:
        return "Only the baseline was run."
    rows = [
        [f"`{name}`", "; ".join(cell(told) for told in differing)]
        for name in dict.fromkeys(result.scenario for result in run.results)
        if name in first and (differing := _between(base, first[name]))
    ]
    if not rows:
        return "Nothing that matters: every variation does what the baseline does."
    same = len(first) - len(rows)
    text = table([f"against `{BASELINE}`", "differs in"], rows)
    return text + (f"\n\nThe other {same} do as the baseline does." if same else "")


def _between(base: ScenarioResult, other: ScenarioResult) -> Sequence[str]:
    told = []
    if other.outcome is not base.outcome:
        told.append(f"{other.outcome.value}, the baseline {base.outcome.value}")
    ours, theirs = other.metrics, base.metrics
    if ours.step_s and theirs.step_s:
        told += _times(other, base)
    if (a := ours.memory.peak_over_p) and (b := theirs.memory.peak_over_p):
        bytes_ratio = (a * (ours.memory.parameter_bytes or 0)) / (
            b * (theirs.memory.parameter_bytes or 1)
        )
        if not 1 / FACTOR < bytes_ratio < FACTOR:
            told.append(f"peak memory {bytes_ratio:.2g} times ({a:.1f} P, the baseline {b:.1f} P)")
    if ours.loss and theirs.loss and ours.loss.last != theirs.loss.last:
        relative = abs(ours.loss.last - theirs.loss.last) / max(abs(theirs.loss.last), 1e-9)
        if not relative < 1e-3:
            told.append(f"last loss {ours.loss.last:.4g}, the baseline {theirs.loss.last:.4g}")
    if ours.traces is not None:
        told.append(f"traced {ours.traces} times")
    codes = {f.code for f in base.findings}
    told += [f.code for f in other.findings if f.code not in codes]
    return told


def _times(other: ScenarioResult, base: ScenarioResult) -> Sequence[str]:
    ours, theirs = other.metrics.step_s, base.metrics.step_s
    assert ours is not None
    assert theirs is not None
    ratio = ours.median / max(theirs.median, 1e-9)
    if 1 / TIME_FACTOR < ratio < TIME_FACTOR:
        return []
    return [f"step time {seconds(ours.median)}, {ratio:.2g} times the baseline's"]
