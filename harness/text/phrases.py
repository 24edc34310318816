"""Places and reasons in sentences. Pure."""

from __future__ import annotations

from harness.model import ScenarioResult
from harness.model.beats import BETWEEN


def place(step: int | None, phase: str | None) -> str:
    """`in step 3, phase eval`, as far as it is known; `after the report of step 3`."""
    if step is None or step < 0:
        return f"in phase {phase}" if phase else ""
    if phase == BETWEEN:
        return f"after the report of step {step}"
    return f"in step {step}" + (f", phase {phase}" if phase else "")


def why(result: ScenarioResult) -> str:
    """Why it did not complete; of a hang also what it waits for, and where."""
    if result.cause is None:
        return result.reason or ""
    told, site = result.cause.summary, str(result.cause.evidence.get("wait_site", ""))
    return told if site in told else f"{told}: {site}"
