"""The repeats of one scenario, taken together."""

from __future__ import annotations

import msgspec


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """So many of so many, with the 95 % interval of the probability behind it."""

    count: int
    of: int
    low: float
    high: float


class Hang(msgspec.Struct, frozen=True, kw_only=True):
    """The runs that hung in one and the same way, as far as their stacks or their cause tell."""

    share: Share
    fingerprint: str | None
    """None when no stack could be had, or several tools took them, which cannot be compared; then
    only cause and place are known to agree."""
    cause: str
    step: int | None = None
    phase: str | None = None
    wait_site: str | None = None
    repeats: tuple[int, ...] = ()


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over the repeats that have it."""

    runs: int
    min: float
    median: float
    max: float


class RepeatSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The repeats of one scenario, taken together."""

    scenario: str
    outcomes: dict[str, Share]
    """By outcome, those that came."""
    hangs: tuple[Hang, ...] = ()
    figures: dict[str, Spread] = {}
    """By name, as in `harness.analysis.repeats.FIGURES`."""
