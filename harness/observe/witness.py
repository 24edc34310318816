"""Who knows, on any platform, who or what ended a process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from harness.model.death import EndFacts


class Witness(Protocol):
    """Looks on at one tree of processes from its start."""

    def look(self, pids: Iterable[int]) -> None:
        """Note what these processes use while they live; the first is the one launched."""

    def tell(self, pid: int) -> EndFacts:
        """What is known of the end of `pid`; to be called once, after it."""


class NoWitness:
    """Knows of an end no more than everybody does."""

    def look(self, pids: Iterable[int]) -> None:
        pass

    def tell(self, pid: int) -> EndFacts:
        return EndFacts(pid=pid)
