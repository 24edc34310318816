"""The conclusions from all results of a run together: its diagnosis and its repeats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.analysis import repeats
from harness.analysis.diagnosis import diagnose
from harness.model import Diagnosis, RunResult, ScenarioResult
from harness.session.folder import path_to_continue


def conclude(run: RunResult, folder: Path) -> RunResult:
    """`run`, whose folder is `folder`, with its diagnosis and the summary of its repeats."""
    # Each control is broken on purpose in its own way: several of them have no common cause.
    related = sum(info.verdict is not None for info in run.scenarios) <= 1
    # A baseline of the user's own cannot be compared with the scenarios of the ladder.
    ladder = [info for info in run.scenarios if info.name in diagnose.LADDER]
    own = any(info.command is None and Path(info.path).parent.name != "ladder" for info in ladder)
    # Nor can a command that is not a variant.
    own = own or (run.settings is None and not ladder)
    diagnosis = diagnose.diagnose(
        run.results,
        run.settings,
        run.environment,
        () if own else diagnose.LADDER,
        path_to_continue(folder),
    )
    return msgspec.structs.replace(
        run,
        diagnosis=diagnosis if related else Diagnosis(),
        repeats=repeats.summarize(run.results),
    )


def is_decided(run: RunResult, results: Sequence[ScenarioResult], remaining: Sequence[str]) -> bool:
    """True when no result of the scenarios that remain can change the diagnosis of `results`."""
    return diagnose.decided(results, run.settings, run.environment, remaining)
