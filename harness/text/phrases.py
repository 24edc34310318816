"""Durations, counts, places and reasons as people write them: no exponents. Pure."""

from __future__ import annotations

import math

from harness.model import ScenarioResult
from harness.model.beats import BETWEEN

_UNITS = ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h"))
"""Up to how many seconds a unit is used, and how many it has."""


def place(step: int | None, phase: str | None) -> str:
    """`in step 3, phase eval`, as far as it is known; `after the report of step 3`."""
    if step is None or step < 0:
        return f"in phase {phase}" if phase else ""
    if phase == BETWEEN:
        return f"after the report of step {step}"
    return f"in step {step}" + (f", phase {phase}" if phase else "")


def duration(seconds: float) -> str:
    """35 s, 17 min, 5 h, 12 days."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    for most, unit, name in _UNITS:
        if round(seconds) < most:
            return f"{seconds / unit:.0f} {name}"
    return f"{count(seconds / 86_400)} days"


def count(value: float) -> str:
    """Two digits of what is small, three of what is large: 0.25, 7.5, 480, 23,200."""
    if abs(value) < 99.5:
        return f"{value:.2g}" if abs(value) < 9.95 else f"{value:.0f}"
    if not math.isfinite(value):
        return str(value)
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, min(0, places)):,.0f}"


def why(result: ScenarioResult) -> str:
    """Why it did not complete; of a hang also what it waits for, and where."""
    if result.cause is None:
        return result.reason or ""
    told, site = result.cause.summary, str(result.cause.evidence.get("wait_site", ""))
    return told if site in told else f"{told}: {site}"
