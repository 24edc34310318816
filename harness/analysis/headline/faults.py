"""The finding that a run is about, where it has several. Pure."""

from __future__ import annotations

from harness.analysis.classify import DIVERGES
from harness.model import Finding, Outcome, ScenarioResult, Severity

_RANK = {Severity.ERROR: 0, Severity.WARNING: 1}
_FIRST = ("parameters_unchanged", "loss_not_finite")
"""Those that come before others of their severity: the others may follow from them."""
_LAST = ("step_time_jump", "first_step_slow", "slow_step", "expectation_missed")
"""Those that come last: they cost time and nothing else."""


def worst(result: ScenarioResult) -> Finding | None:
    """The finding that matters most; None where all is expected or for information."""
    found = [f for f in result.findings if not f.expected and f.severity in _RANK]
    diverged = result.outcome is Outcome.DIVERGED
    return min(
        found,
        key=lambda f: (diverged and f.code not in DIVERGES, _RANK[f.severity], _order(f)),
        default=None,
    )


def _order(finding: Finding) -> int:
    return -1 if finding.code in _FIRST else 1 if finding.code in _LAST else 0
