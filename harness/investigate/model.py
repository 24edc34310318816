"""An investigation, and the result of each of its stages."""

from __future__ import annotations

import msgspec

from harness.model.enums import TextEnum


class StageName(TextEnum):
    """The stages, in their order."""

    RUNS = "runs"
    ENVIRONMENT = "environment"
    RELEASES = "releases"
    REDUCE = "reduce"

    @property
    def words(self) -> str:
        """The stage, for people."""
        return _TITLES[self]


_TITLES = {
    StageName.RUNS: "runs as it is",
    StageName.ENVIRONMENT: "settings of the environment",
    StageName.RELEASES: "releases of MLX",
    StageName.REDUCE: "one small file",
}


class Status(TextEnum):
    """The end of a stage."""

    DONE = "done"
    SKIPPED = "skipped"
    """It could not change the answer, or cannot be carried out here."""
    FAILED = "failed"
    """It was tried, and has no result."""
    INTERRUPTED = "interrupted"
    """The user ended it, or the time was over."""


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one stage."""

    stage: StageName
    status: Status
    summary: str
    """The answer, or the reason why there is none: one line."""
    facts: tuple[str, ...] = ()
    """The text about it in a draft of an issue."""
    found: bool = False
    """True if it answers a part of the question."""
    late: bool = False
    """True if its part of the time was over; the next stage has its own."""
    seconds: float = 0.0
    folder: str | None = None
    """The folder of its runs, relative to that of the investigation."""
    file: str | None = None
    """The file that it has made, relative to the same."""


class Investigation(msgspec.Struct, frozen=True, kw_only=True):
    """investigation.json."""

    schema: int = 1
    harness_version: str
    target: str
    """The name of the scenario or the command."""
    within_s: float
    """The time that it may take, in seconds."""
    answer: str = ""
    """The whole answer: one line."""
    healthy: bool = False
    """True if nothing was found to be wrong."""
    own: bool = False
    """True if the fault is the program's own, so that MLX's maintainers need not hear of it."""
    found: bool = False
    """True if there is an answer."""
    stages: tuple[StageResult, ...] = ()
    interrupted: bool = False
