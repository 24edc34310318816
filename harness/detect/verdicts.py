"""The answers, and what carries them."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import msgspec

from harness.detect.chain.links import Chain, Ends


class Answer(str, Enum):
    """The answer for one process, in a word."""

    DEADLOCK = "deadlock"
    STOPPED = "stopped"
    TRACED = "traced"
    STARVED = "starved"
    STALLED = "stalled"
    SPINNING = "spinning"
    WAITING = "waiting"
    ASLEEP = "asleep"
    COMPILING = "compiling"
    ALIVE = "alive"
    ENDED = "ended"


FATAL = (Answer.DEADLOCK, Answer.STOPPED, Answer.TRACED)
"""One of these below is enough: who waits for it waits in vain, whatever the others do."""
WORST_FIRST = (
    *FATAL,
    Answer.STARVED,
    Answer.STALLED,
    Answer.SPINNING,
    Answer.WAITING,
    Answer.ASLEEP,
    Answer.COMPILING,
    Answer.ALIVE,
    Answer.ENDED,
)
OF_END = {
    Ends.WORKS: Answer.ALIVE,
    Ends.GPU_WORKS: Answer.ALIVE,
    Ends.CLOCK: Answer.ASLEEP,
    Ends.POLLS: Answer.ASLEEP,
    Ends.PERSON: Answer.WAITING,
    Ends.NETWORK: Answer.WAITING,
    Ends.PROGRAM: Answer.WAITING,
    Ends.PEERS: Answer.WAITING,
    Ends.OUTSIDE: Answer.WAITING,
    Ends.FILE_SYSTEM: Answer.WAITING,
    Ends.IDLE: Answer.WAITING,
    Ends.MEMORY: Answer.STARVED,
    Ends.STOPPED: Answer.STOPPED,
    Ends.TRACED: Answer.TRACED,
    Ends.SPINS: Answer.SPINNING,
    Ends.GPU_IDLE: Answer.STALLED,
    Ends.UNSEEN: Answer.ALIVE,
    Ends.UNKNOWN: Answer.STALLED,
    Ends.CYCLE: Answer.STALLED,
    Ends.DEAD: Answer.STALLED,
}
"""The answer for a process whose chain ends so, where nothing is proven."""
GOOD_ENDS = frozenset(
    (
        Ends.WORKS,
        Ends.GPU_WORKS,
        Ends.CLOCK,
        Ends.POLLS,
        Ends.PERSON,
        Ends.NETWORK,
        Ends.PROGRAM,
        Ends.OUTSIDE,
        Ends.IDLE,
        Ends.UNSEEN,
    )
)
"""Ends of which `attach` says that nothing is wrong as far as can be seen from here."""


class DetectorOutcome(NamedTuple):
    """The answer of one detector, or the reason why it said nothing or was not asked."""

    detector: str
    outcome: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one process."""

    pid: int
    answer: Answer
    summary: str
    """A sentence's end: "waits for its child process 12 (sleep ...)"."""
    good: bool
    """True if it goes on by itself, as far as can be told."""
    on: tuple[int, ...] = ()
    """The processes of the tree that it waits for."""
    decided_by: int = 0
    """The process whose state decides: the last one of its chain."""
    sure: bool = True
    """True if another capture of its stacks could not alter the answer."""
    chain: Chain | None = None
    fingerprint: str | None = None
    evidence: dict[str, Any] = {}
    outcomes: tuple[DetectorOutcome, ...] = ()
    """The outcomes of the detectors up to the one that decided."""


class Says(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a detector about a process."""

    answer: Answer
    summary: str
    good: bool
    sure: bool = True
    chain: Chain | None = None
    evidence: dict[str, Any] = {}
