"""The probability that a flip cured a symptom, and that it did not stay away by chance. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CERTAINTY = 0.95
"""A flip is called a cure when it is one with this probability."""
CURES = 0.03
"""The probability, before any run, that a flip cures: of some thirty flips about one."""
ALWAYS = 0.5
"""The probability, before any run, that the symptom comes in each run."""
_CELLS = 100
"""Rates for which the integral over the rate is summed up."""


class Counts(NamedTuple):
    """The runs of one variant that tell something."""

    shown: int = 0
    absent: int = 0


def cures(plain: Counts, flips: Mapping[str, Counts]) -> dict[str, float]:
    """For each flip the probability that it cures, given the runs of all of them together.

    Each flip either cures, so that the symptom never comes, or changes nothing, so that the symptom
    comes at the rate p of the plain command. Before any run each flip cures with the probability
    CURES. The rate is 1 with the probability ALWAYS, and else has the density 2 (1-p), as in
    `harness.releases.search.posterior`. With s runs that showed it and a runs that did not, a flip
    that changes nothing has the likelihood p^s (1-p)^a. One that cures has 1 if s is 0, and else 0.
    The runs of all flips tell of the rate, so that many flips raise no false alarm by their number.
    """
    total = 0.0
    parts = dict.fromkeys(flips, 0.0)
    for rate, weight in _RATES:
        # For each flip: the likelihood of its runs, and the part of it in which it cures.
        both = {name: _likelihood(rate, counts) for name, counts in flips.items()}
        whole = weight * _chance(rate, plain)
        for cured, unchanged in both.values():
            whole *= cured + unchanged
        total += whole
        for name, (cured, unchanged) in both.items():
            if whole:
                parts[name] += whole * cured / (cured + unchanged)
    return {name: part / total if total else 0.0 for name, part in parts.items()}


def _likelihood(rate: float, counts: Counts) -> tuple[float, float]:
    return CURES * (counts.shown == 0), (1.0 - CURES) * _chance(rate, counts)


def _chance(rate: float, counts: Counts) -> float:
    # 0 to the power 0 is 1: a symptom that always comes allows no run without it.
    return float(rate**counts.shown * (1.0 - rate) ** counts.absent)


def _rates() -> tuple[tuple[float, float], ...]:
    middles = [(cell + 0.5) / _CELLS for cell in range(_CELLS)]
    free = [(rate, (1.0 - ALWAYS) * 2.0 * (1.0 - rate) / _CELLS) for rate in middles]
    return (*free, (1.0, ALWAYS))


_RATES = _rates()
