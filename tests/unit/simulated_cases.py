"""Simulated trainings, drawn by a seed, and what the diagnosis may say of each."""

from __future__ import annotations

import random

import simulated

from harness.analysis.diagnosis.diagnose import diagnose
from harness.model import Settings, Support

SETTINGS = Settings(steps=simulated.STEPS)


def verdicts(case):
    found = diagnose(case.results, SETTINGS, case.environment)
    return {h.id: h.verdict for h in found.hypotheses}


def those(found, verdict):
    return {id for id, given in found.items() if given is verdict}


def drawn(seed):
    """A case: no fault, one, or two at once; some scenarios missing; one run of each or three."""
    draw = random.Random(f"diagnosis {seed}")
    count = draw.choice([0] + [1] * 6 + [2] * 3)
    faults = tuple(draw.sample(simulated.NAMES, count))
    missing, repeats = draw.choice([0.0, 0.0, 0.2, 0.5]), draw.choice([1, 1, 1, 3])
    return simulated.draw_case(seed, faults, missing, repeats)


def wrong(case, found):
    """Supported without being true, or refuted though it is there: also if it never acted."""
    false = those(found, Support.SUPPORTED) - case.true - case.also
    return false | (those(found, Support.REFUTED) & {*case.faults})
