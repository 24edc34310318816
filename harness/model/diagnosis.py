"""The hypotheses, and what all results say of them."""

from __future__ import annotations

import msgspec

from harness.model.enums import Word


class Verdict(Word):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNTESTED = "untested"


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    verdict: Verdict
    because: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    """Evidence that speaks against the verdict, or the two sides when there is none."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    hypotheses: tuple[Hypothesis, ...] = ()
    unexplained: str | None = None
    """The baseline's symptom, when every hypothesis is refuted or does not explain it."""
    next_experiment: str | None = None
    no_experiment: str | None = None
    """Why there is none, although something is untested."""
