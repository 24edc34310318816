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


def reason(result: ScenarioResult) -> str:
    """Describe why a run did not complete; for a hang, also its wait site.

    The text is empty where nothing is known.
    """
    if result.cause is None:
        return result.reason or ""
    summary, site = result.cause.summary, str(result.cause.evidence.get("wait_site", ""))
    return summary if site in summary else f"{summary}: {site}"
