"""The answers, and what carries them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec


class Answer(str, Enum):
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


GOOD = (Answer.ALIVE, Answer.COMPILING, Answer.ENDED)
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


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one process."""

    pid: int
    answer: Answer
    summary: str
    """A sentence's end: "waits for its child process 12 (sleep ...)"."""
    good: bool
    """Whether it goes on by itself, as far as can be told."""
    on: tuple[int, ...] = ()
    """The processes of the tree that it waits for."""
    sure: bool = True
    """Whether another capture of its stacks could not alter the answer."""
    fingerprint: str | None = None
    evidence: dict[str, Any] = {}


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for a process together with what it waits for below it."""

    own: Judged
    deciding: Judged
    """Of the process whose answer it is."""
    answer: Answer
    summary: str

    @property
    def good(self) -> bool:
        return self.deciding.good


class Says(msgspec.Struct, frozen=True):
    """What a rule has to say."""

    answer: Answer
    summary: str
    on: tuple[int, ...] = ()
    sure: bool = True
    good: bool | None = None
    """None: as the answer is."""
    evidence: dict[str, Any] = {}
