"""The evidence of a diagnosis: runs by scenario, and which of them could have shown what. Pure."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.diagnosis import quantities, symptoms
from harness.analysis.diagnosis.effects import Groups
from harness.analysis.diagnosis.hypotheses import TABLE, Cell, Effect, Theory
from harness.analysis.diagnosis.symptoms import Facts
from harness.model import Environment, ScenarioResult, Settings

JIT = frozenset(("stale_compile", "retrace"))
"""Hypotheses that only a compiled step can show."""


@dataclass(frozen=True)
class Evidence:
    """Runs, settings and machine of a diagnosis."""

    runs: tuple[Facts, ...]
    groups: Groups
    settings: Settings | None
    """None of outside commands."""
    environment: Environment


def arrange(
    results: Sequence[ScenarioResult], settings: Settings | None, environment: Environment
) -> Evidence:
    """The runs that say something, by their scenarios."""
    runs = tuple(run for run in symptoms.gather(results) if run.informative)
    groups: dict[str, list[Facts]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return Evidence(runs, groups, settings, environment)


def cell(scenario: str, theory: Theory) -> Cell | None:
    """The expectation of `theory` for a scenario; None where it has none."""
    return TABLE.get(scenario, {}).get(theory.id)


def stays(scenario: str, theory: Theory) -> bool:
    """Return True if this scenario must show the symptom of `theory` when the baseline does."""
    return scenario in _staying(theory.id)


@functools.cache
def _staying(theory: str) -> tuple[str, ...]:
    """The scenarios that must show the symptom of this theory."""
    return tuple(n for n, row in TABLE.items() if row.get(theory) == Cell(Effect.STAYS, True))


def informative_runs(theory: Theory, evidence: Evidence) -> list[Facts]:
    """Runs that are well and would have shown it."""
    return runs_of(theory, _staying(theory.id), evidence)


def runs_of(theory: Theory, names: Sequence[str], evidence: Evidence) -> list[Facts]:
    """Runs of these scenarios that came far enough to have shown it."""
    return [
        run
        for name in names
        for run in evidence.groups.get(name, ())
        if run.completed
        and run.steps >= theory.steps
        and (run.compiles or theory.id not in JIT)
        and (evidence.settings is not None or quantities.measured(theory.id, run))
    ]
