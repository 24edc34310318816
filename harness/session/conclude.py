"""The conclusions from all results of a run together: its diagnosis and its repeats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.analysis import repeats
from harness.analysis.diagnosis import diagnose, symptoms
from harness.analysis.diagnosis.hypotheses import Kind
from harness.analysis.headline import faults
from harness.model import Diagnosis, Located, Outcome, RunResult, ScenarioInfo, ScenarioResult
from harness.scenario import load
from harness.session.folder import path_to_continue

_OF_MLX = ("stream_evaluation", "collective", "gpu", "poll", "unseen")
"""The waits, by their codes, that a variation of the step may change."""
_MENDED = frozenset(
    ("parameters_unchanged", "model_not_watched", "compile_disabled", "validation_not_finite")
    + ("loss_zero", "collective_mismatch", "frozen_parameters_changed")
)
"""Findings that no other run of the ladder says more about."""


def conclude(run: RunResult, folder: Path) -> RunResult:
    """`run`, whose folder is `folder`, with its diagnosis and the summary of its repeats."""
    # Each control is broken on purpose in its own way: several of them have no common cause.
    related = sum(info.verdict is not None for info in run.scenarios) <= 1
    # What other steps do says nothing of the user's own.
    mine = [info for info in run.scenarios if info.command is None and not load.is_shipped(info)]
    names = {info.name for info in mine}
    diagnosis = diagnose.diagnose(
        [result for result in run.results if not names or result.scenario in names],
        run.settings,
        run.environment,
        _available(run, mine),
        path_to_continue(folder),
    )
    diagnosis = diagnosis if related else Diagnosis()
    # Where somebody has written variations by hand, they are compared already.
    by_hand = any(info.name in diagnose.LADDER for info in mine)
    if diagnosis.no_experiment == diagnose.OWN and run.settings is not None and not by_hand:
        diagnosis = msgspec.structs.replace(
            diagnosis,
            next_experiment=diagnose.vary(_unwell(run, mine).path, run.settings),
            no_experiment=None,
        )
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


def _available(run: RunResult, mine: Sequence[ScenarioInfo]) -> Sequence[str]:
    """The scenarios that can be added to `run`, and are comparable with what it has."""
    if any(info.own is not None for info in mine):
        return tuple(file.stem for file in load.variation_files())
    # A command that is no variant cannot be compared with the ladder either.
    ladder = any(info.name in diagnose.LADDER for info in run.scenarios)
    return () if mine or (run.settings is None and not ladder) else diagnose.LADDER


def _unwell(run: RunResult, mine: Sequence[ScenarioInfo]) -> ScenarioInfo:
    """The first scenario of the user's that did not complete; the first one where all did."""
    bad = {one.scenario for one in run.results if one.outcome is not Outcome.COMPLETED}
    return next((info for info in mine if info.name in bad), mine[0])


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
    if bad and all(map(_waits_outside, bad)):
        return "what it waits for is known, and is no part of MLX"
    if bad and all(map(_names_its_place, bad)):
        return "the place where it began is known"
    faulty = [fault for result in ran if (fault := faults.worst(result)) is not None]
    if not bad and faulty and all(fault.code in _MENDED for fault in faulty):
        return "what was found names its own cause"
    if bad and all(map(_located, bad)):
        return "the operation at which the numbers stop being finite is known"
    return None


def _waits_outside(result: ScenarioResult) -> bool:
    """True for a hang whose chain of waits is known and passes through nothing of MLX."""
    chain = result.cause.evidence.get("chain") if result.cause else None
    return bool(chain) and all(link.get("wait") not in _OF_MLX for link in chain or ())


def _names_its_place(result: ScenarioResult) -> bool:
    fault = faults.worst(result)
    return fault is not None and isinstance(fault.evidence.get("place"), str)


def _located(result: ScenarioResult) -> bool:
    return result.origin is not None and result.origin.status is Located.LOCATED


def _raised(result: ScenarioResult) -> bool:
    """True for an exception; an exit code alone names no place."""
    raised = symptoms.ended_by(result) == {Kind.RAISED}
    return raised and not (result.reason or "").startswith("exited with code")


def is_decided(run: RunResult, results: Sequence[ScenarioResult], remaining: Sequence[str]) -> bool:
    """True when no result of the scenarios that remain can change the diagnosis of `results`."""
    return diagnose.decided(results, run.settings, run.environment, remaining)
