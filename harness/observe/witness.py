"""A witness, on any platform, of who or what ended a process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.model.death import EndFacts


class Witness(Protocol):
    """Looks on at one tree of processes from its start."""

    def look(self, pids: Iterable[int]) -> None:
        """Note what these processes use while they live; the first is the one launched."""

    def tell(self, pid: int) -> EndFacts:
        """The facts about the end of `pid`; to be called once, after it."""


class NoWitness:
    """Knows of an end no more than everybody does."""

    def look(self, pids: Iterable[int]) -> None:
        pass

    def tell(self, pid: int) -> EndFacts:
        return EndFacts(pid=pid)


class Core(NamedTuple):
    """The file with the memory of a process that crashed."""

    file: Path
    pid: int
    """The number of the process, as it saw itself."""
    session: int
    program: str
    """The path of its program; empty where that is not known."""
    nbytes: int


class Cores(Protocol):
    """Knows before a command is started whether cores can be had, and finds them after its end."""

    wanted: bool
    """True if its user has asked for cores: they are left where they are."""
    why_not: str
    """The reason why none is asked for; empty if one can be had."""
    limit: int
    """Bytes of a core at most, for what is started."""
    by_systemd: bool
    """True if systemd is given them."""

    def look(self, pids: Iterable[int]) -> None:
        """Note where these processes are."""

    def left(self, session: int) -> list[Core]:
        """The cores of the processes seen, and of those of `session`, the oldest first."""
