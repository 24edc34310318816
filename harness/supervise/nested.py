"""The verdict of a harness that runs inside of a watched command, for the one that watches it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import Exit
from harness.inject.inside.writer import VARIABLE
from harness.model import Cause, Outcome, ScenarioResult

NAME = "verdict.json"
_WORST_FIRST = (Outcome.HUNG, Outcome.DIVERGED, Outcome.CRASHED, Outcome.UNFINISHED)
_OVERRULED = (Outcome.HUNG, Outcome.DIVERGED)
"""The outcomes that the exit code of the inner harness does not show."""


class InnerVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The worst result of the inner harness."""

    scenario: str
    outcome: Outcome
    reason: str | None = None
    cause: Cause | None = None


def tell(results: Sequence[ScenarioResult]) -> None:
    """Leave the worst of `results` for the harness that watches this process, if one does."""
    folder = os.environ.get(VARIABLE)
    bad = [result for result in results if result.outcome in _WORST_FIRST]
    if not folder or not bad:
        return
    worst = min(bad, key=lambda result: _WORST_FIRST.index(result.outcome))
    verdict = InnerVerdict(
        scenario=worst.scenario, outcome=worst.outcome, reason=worst.reason, cause=worst.cause
    )
    # The folder is gone when the outer harness is.
    with contextlib.suppress(OSError):
        (Path(folder) / NAME).write_bytes(msgspec.json.encode(verdict))


def read(folder: Path) -> InnerVerdict | None:
    """The verdict that an inner harness has left in `folder`."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=InnerVerdict, strict=False)
    except (OSError, ValueError):
        return None


def joined(result: ScenarioResult, inner: InnerVerdict | None) -> ScenarioResult:
    """`result` of a command that ended as a harness does that has seen a hang or a divergence."""
    if inner is None or inner.outcome not in _OVERRULED:
        return result
    if result.outcome is not Outcome.CRASHED or result.exit_code != Exit.VERDICT:
        return result
    return msgspec.structs.replace(
        result, outcome=inner.outcome, reason=inner.reason, cause=inner.cause
    )
