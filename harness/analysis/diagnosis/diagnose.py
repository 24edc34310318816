"""From the differences between scenarios to a cause. Pure.

`diagnose` gives a verdict on each hypothesis and the most informative next run; `order` and
`decided` plan a run of the ladder. The expectations are `harness.analysis.diagnosis.hypotheses`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.diagnosis import masked, next_experiment, verdicts
from harness.analysis.diagnosis.evidence import arrange
from harness.analysis.diagnosis.hypotheses import LADDER
from harness.analysis.diagnosis.next_experiment import OWN, order, vary
from harness.model import Diagnosis, Environment, ScenarioResult, Settings

__all__ = ["LADDER", "OWN", "decided", "diagnose", "order", "vary"]


def diagnose(
    results: Sequence[ScenarioResult],
    settings: Settings | None,
    environment: Environment,
    available: Sequence[str] = LADDER,
    run: str | None = None,
) -> Diagnosis:
    """Judge each hypothesis by `results`, which may hold several repeats of a scenario.

    `settings` are those of the run, before a scenario's own overrides; None of outside commands.
    `available` names what could be run next, and `run` the folder of the run that it can be added
    to, if it can.
    """
    evidence = arrange(results, settings, environment)
    hypotheses = verdicts.assess(evidence)
    tried = {result.scenario for result in results if not _interrupted(result)}
    # What was skipped, or ended for reasons of its own, would do so again.
    worth = [name for name in available if name in evidence.groups or name not in tried]
    following = next_experiment.next_experiment(hypotheses, evidence, worth, run)
    none = (
        next_experiment.no_experiment(hypotheses, evidence, available)
        if following is None
        else None
    )
    return Diagnosis(
        # What comes next is planned as if there were one fault: others are looked for behind it.
        hypotheses=masked.unmasked(hypotheses, evidence),
        unexplained=verdicts.unexplained(evidence, hypotheses),
        next_experiment=following,
        no_experiment=none,
    )


def _interrupted(result: ScenarioResult) -> bool:
    return (result.reason or "").startswith("interrupted")


def decided(
    results: Sequence[ScenarioResult],
    settings: Settings | None,
    environment: Environment,
    remaining: Sequence[str],
) -> bool:
    """Return True if no scenario in `remaining` can decide an untested hypothesis.

    Verdicts that have been reached are final for this purpose.
    """
    evidence = arrange(results, settings, environment)
    return next_experiment.decided(verdicts.assess(evidence), evidence, remaining)
