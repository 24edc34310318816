"""run.json: the results, and all that is told of the run around them."""

from __future__ import annotations

import msgspec

from harness.model.beats import SCHEMA
from harness.model.diagnosis import Diagnosis
from harness.model.environment import Environment
from harness.model.metrics import Metrics
from harness.model.outcome import Cause, Finding, Outcome
from harness.model.ranks import RankResult
from harness.model.repeats import RepeatSummary
from harness.model.settings import ScenarioInfo, Settings


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    scenario: str
    outcome: Outcome
    steps_requested: int | None
    """None when nobody said how many: an outside command that names no total."""
    steps_completed: int
    wall_s: float
    repeat: int = 0
    rank: int = 0
    reason: str | None = None
    """One line: why it was skipped, crashed, called diverged or left unfinished."""
    cause: Cause | None = None
    last_step: int | None = None
    last_phase: str | None = None
    stalled_at_s: float | None = None
    detected_at_s: float | None = None
    exit_code: int | None = None
    signal: str | None = None
    findings: tuple[Finding, ...] = ()
    metrics: Metrics = Metrics()
    ranks: tuple[RankResult, ...] = ()
    """Of a job of several; empty where there is one worker."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was planned and, by the user's wish, not started."""

    scenario: str
    repeat: int
    reason: str


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """A command that added runs to a run."""

    command: tuple[str, ...]
    started: str
    """ISO 8601, with the zone."""
    interrupted: bool = False


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """run.json."""

    schema: int = SCHEMA
    harness_version: str
    started: str
    """ISO 8601, with the zone."""
    finished: str | None = None
    command: tuple[str, ...] = ()
    environment: Environment
    settings: Settings | None
    """None when outside commands were run."""
    scenarios: tuple[ScenarioInfo, ...] = ()
    results: tuple[ScenarioResult, ...] = ()
    repeats: tuple[RepeatSummary, ...] = ()
    """Of the scenarios that were run more than once."""
    left_out: tuple[LeftOut, ...] = ()
    diagnosis: Diagnosis = Diagnosis()
    interrupted: bool = False
    full: bool = False
    """Whether nothing was redacted, so that it must not be published."""
    continued: tuple[Continuation, ...] = ()
    """What has been added since the first command ended."""
