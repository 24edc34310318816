"""The conclusions from all results of a run together: its diagnosis and its repeats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.analysis import repeats
from harness.analysis.diagnosis import diagnose, symptoms
from harness.analysis.diagnosis.hypotheses import Kind
from harness.model import Diagnosis, Outcome, RunResult, ScenarioResult
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
    diagnosis = diagnosis if related else Diagnosis()
    suggested = diagnosis.next_experiment or diagnosis.no_experiment
    if suggested and (why := needs_none(run)) is not None:
        diagnosis = msgspec.structs.replace(
            diagnosis, next_experiment=None, no_experiment=why or None
        )
    return msgspec.structs.replace(
        run,
        diagnosis=diagnosis,
        repeats=repeats.summarize(run.results),
    )


def needs_none(run: RunResult) -> str | None:
    """The reason why no other run would help; empty after Ctrl-C, None where one may help.

    An exception and a proven deadlock name their place themselves. Nothing is known of what was
    interrupted or skipped.
    """
    if run.interrupted:
        return ""
    ran = [result for result in run.results if result.outcome is not Outcome.SKIPPED]
    if not ran:
        return "every run was skipped" if run.results else None
    bad = [result for result in ran if result.outcome is not Outcome.COMPLETED]
    if bad and all(result.cause is not None and result.cause.proven for result in bad):
        return "the deadlock is proven, and its place is known"
    if bad and all(map(_raised, bad)):
        return "the exception says where it was raised"
    return None


def _raised(result: ScenarioResult) -> bool:
    """True for an exception; an exit code alone names no place."""
    raised = symptoms.ended_by(result) == {Kind.RAISED}
    return raised and not (result.reason or "").startswith("exited with code")


def is_decided(run: RunResult, results: Sequence[ScenarioResult], remaining: Sequence[str]) -> bool:
    """True when no result of the scenarios that remain can change the diagnosis of `results`."""
    return diagnose.decided(results, run.settings, run.environment, remaining)
