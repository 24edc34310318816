"""run.json: what an environment ladder has shown, flip by flip."""

from __future__ import annotations

import msgspec

from harness.model.enums import TextEnum


class FlipVerdict(TextEnum):
    """The answer of the runs with one flip."""

    CURED = "cured"
    """The symptom came in no run, and that is no chance."""
    NOT_CURED = "not_cured"
    """The symptom came all the same."""
    UNDECIDED = "undecided"
    """The symptom came in no run, and that may be chance."""
    NO_EFFECT = "no_effect"
    """The training does nothing that the flip changes."""
    FAILED = "failed"
    """The training fails in another way."""


class FlipResult(msgspec.Struct, frozen=True, kw_only=True):
    """One flip."""

    name: str
    """The scenario of its runs."""
    change: str
    why: str
    """The reason why it could cure."""
    verdict: FlipVerdict
    shown: int = 0
    """Runs that showed the symptom."""
    absent: int = 0
    """Runs that completed without it."""
    other: int = 0
    """Runs that failed in another way."""
    sure: float | None = None
    """Probability that it cures; None where the symptom came, or nothing was tried."""


class FlipLeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A flip that was not tried."""

    name: str
    change: str
    reason: str


class EnvironmentLadder(msgspec.Struct, frozen=True, kw_only=True):
    """The plain training and its flips."""

    plain: str
    """The scenario of the plain training."""
    symptom: str | None = None
    """The symptom that is to be cured, in words; None: the plain training showed nothing."""
    shown: int = 0
    """Runs of the plain training that showed it."""
    absent: int = 0
    other: int = 0
    certainty: float
    """The probability from which on a flip is called a cure."""
    flips: tuple[FlipResult, ...] = ()
    left_out: tuple[FlipLeftOut, ...] = ()
