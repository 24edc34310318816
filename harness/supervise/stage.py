"""The stages of a run, and which one may follow which."""

from __future__ import annotations

from enum import Enum


class Stage(str, Enum):
    """The state of a run as its supervisor sees it."""

    STARTING = "starting"
    """Its process is not known yet."""
    RUNNING = "running"
    SUSPECTED = "suspected"
    """A doubt stands, and its patience is not over."""
    CONFIRMED = "confirmed"
    """Called a hang: its evidence comes next or is saved, and it is waited for."""
    COLLECTING = "collecting"
    """Its stacks are being taken, because it is hung, or its time or memory is spent."""
    ENDING = "ending"
    """It is being ended by us, or is kept for a debugger."""
    FINISHED = "finished"


class EndReason(str, Enum):
    """The reason for which a run is ended by us."""

    HUNG = "hung"
    BUDGET = "budget"
    MEMORY = "memory"
    INTERRUPT = "interrupt"


_GOES_ON = frozenset((Stage.ENDING, Stage.FINISHED))
NEXT = {
    Stage.STARTING: _GOES_ON | {Stage.RUNNING},
    Stage.RUNNING: _GOES_ON | {Stage.SUSPECTED, Stage.CONFIRMED, Stage.COLLECTING},
    Stage.SUSPECTED: _GOES_ON | {Stage.RUNNING, Stage.CONFIRMED, Stage.COLLECTING},
    Stage.CONFIRMED: _GOES_ON | {Stage.RUNNING, Stage.COLLECTING},
    Stage.COLLECTING: _GOES_ON | {Stage.RUNNING, Stage.CONFIRMED},
    Stage.ENDING: _GOES_ON,
    Stage.FINISHED: frozenset[Stage](),
}
"""The stages that may follow, by stage. A run that is ended may be told so again, with less
grace."""
