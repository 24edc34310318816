"""One rank of a job, seen among the others."""

from __future__ import annotations

import msgspec

from harness.model.enums import TextEnum


class Standing(TextEnum):
    """The state of one rank of a job, seen among the others."""

    DEAD = "dead"
    STOPPED = "stopped"
    STALLED = "stalled"
    """It makes no progress, and it is not its peers that it waits for."""
    WAITING = "waiting"
    """It waits for a peer."""
    AHEAD = "ahead"
    BEHIND = "behind"
    NEVER_STARTED = "never_started"
    CUT_OFF = "cut_off"
    SLOW = "slow"
    FINISHED = "finished"
    WORKING = "working"


class RankResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rank of a job at the verdict, or at the end."""

    rank: int
    state: Standing
    reason: str
    """One line."""
    culprit: bool = False
    """True if the job failed because of it."""
    host: str | None = None
    steps_completed: int = 0
    last_step: int | None = None
    last_phase: str | None = None
    phase_s: float | None = None
    """Seconds in that phase until the verdict."""
    collective: int | None = None
    """The last that it issued, by number; None when it issued none."""
    collective_op: str | None = None
    collective_step: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    wait_site: str | None = None
    """The function that its stacks show it to wait in."""
    wait: str | None = None
    """The thing that it waits for there, in words."""
    python_frame: str | None = None
    """The line of the user's code that it was called from, such as `train.py:12 in step`."""
