"""The verdict on a worker: how it ended, why it hung, and what was found."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.model.beats import Position
from harness.model.death import EndFacts
from harness.model.enums import TextEnum


class Outcome(TextEnum):
    COMPLETED = "completed"
    HUNG = "hung"
    DIVERGED = "diverged"
    CRASHED = "crashed"
    UNFINISHED = "unfinished"
    SKIPPED = "skipped"


class Severity(TextEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One observed fact. `code` is stable; `summary` is for people; `evidence` is the numbers."""

    code: str
    severity: Severity
    summary: str
    evidence: dict[str, Any] = {}
    expected: bool = False
    """The scenario declares that this belongs to it."""


class Sameness(TextEnum):
    """The signs that a result has in common with a known issue, the surest first."""

    WAIT_SITE = "wait_site"
    ERROR = "error"


class KnownIssueMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A public bug or pitfall of MLX or mlx-lm that a result shows."""

    id: str
    """Repository and number, such as `mlx#4100`."""
    title: str
    url: str
    package: str
    """The distribution that has it."""
    same: Sameness
    seen: str
    """The text that is the same: a frame, or a part of an error."""
    version: str | None
    """The version that ran and has the issue; None where it is not known."""
    fixed: str | None
    """The first release without it; None: there is none yet."""
    cure: str


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why a run is hung."""

    code: str
    """`deadlock`, `stalled`, `waiting`, `stopped` or `starved`."""
    summary: str
    proven: bool = False
    evidence: dict[str, Any] = {}


class Transient(msgspec.Struct, frozen=True, kw_only=True):
    """A hang that was confirmed, and resolved itself later."""

    cause: Cause
    step: int | None = None
    phase: str | None = None
    stalled_at_s: float
    """Seconds after the start at which the last progress before it was seen."""
    lasted_s: float


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A doubt that was said of a run, while it was overdue."""

    said_s: float
    """Seconds after the start at which it was said."""
    taken_back_s: float | None = None
    """Seconds after the start at which the run went on; None where it did not."""
    summary: str = ""
    chain: tuple[dict[str, Any], ...] = ()
    """The waits of one thread for another, from the thread that trains on."""
    end: dict[str, Any] = {}
    """The end of the chain, by its `kind`."""


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of a run that has a limit. Times are seconds after the start."""

    limit: int
    """Bytes."""
    what: str = "memory"
    """`memory`, or `GPU memory`: that of which the largest share was used."""
    peak: int | None = None
    """The most that was held, in bytes; None: it could not be measured."""
    near_s: float | None = None
    """The time at which it first came near its limit."""
    asked: str = ""
    """The signal that was to ask for a checkpoint, such as `USR1`."""
    sent_to: tuple[int, ...] = ()
    """The processes that got it."""
    sent_s: float | None = None
    reached_s: float | None = None
    """The time at which the limit was reached."""
    processes: tuple[dict[str, int | str], ...] = ()
    """Those that held most then: `pid`, `name` and `bytes`."""
    ended: bool = False
    """True if the run was ended for it."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a worker, as the supervisor knows it: the input to classification."""

    wall_s: float
    exit_code: int | None = None
    """None when a signal ended it, or when it never started."""
    signal: str | None = None
    cause: Cause | None = None
    """Set when the watchdog confirmed a hang."""
    stalled_at_s: float | None = None
    """Seconds after the start at which the last progress was seen."""
    detected_at_s: float | None = None
    transients: tuple[Transient, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    address_space: int | None = None
    """Bytes that it was limited to at its end; None without a limit."""
    usable_memory: int | None = None
    """Bytes that a training may use: of the container, the address space or the machine. None where
    there is a GPU, for nobody may have told which memory is used."""
    oom_kills: int = 0
    """The number of kills by the kernel's out-of-memory killer, on the whole machine, while it ran.
    """
    over_budget: bool = False
    memory: MemoryUse | None = None
    """The memory of a run with a limit on it."""
    interrupted: bool = False
    ended_by: str = ""
    """The one who interrupted it, in words, if not its user: `ended by pytest-timeout after 3 s`.
    """
    doing: str = ""
    """Its work when it was ended, as the last stacks show it: `it is running (f), from a.py:2`."""
    position: Position | None = None
    """The last known place, also when no beat of it reached beats.jsonl."""
    rss_peak: int | None = None
    unread: dict[str, str] = {}
    """The figures of memory that could not be read, each with the reason."""
    steps: int | None = None
    """The number of steps that were planned, where an outside command's log says so."""
    findings: tuple[Finding, ...] = ()
    """The supervisor's findings about its own work."""
    facts: EndFacts = EndFacts()
    """The other facts of the end, such as what the process printed last."""
