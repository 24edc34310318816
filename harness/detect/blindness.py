"""A machine on which a worker cannot be looked into.

Stillness that could not be seen is none: there nothing is called hung, and the budget alone ends a
run. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.detect.policy import STANDARD
from harness.model import Process


def blind(seen: Sequence[Process], pid: int) -> str:
    """The reason why a look at the process `pid`, which runs, shows nothing; empty if it does."""
    worker = next((process for process in seen if process.pid == pid), None)
    if worker is not None and (worker.threads or worker.state in "ZX"):
        return ""
    what = "processes" if worker is None else "the threads of other processes"
    return f"blind on this machine: {what} cannot be read, so nothing is called hung"


class Looks:
    """The gaps in the looks at one worker. Each one is told once."""

    def __init__(self) -> None:
        self._blind = 0
        self._failed = False
        self._unseen = False

    def took(self, seen: Sequence[Process], pid: int) -> str:
        """Take what a look at a worker that runs has shown; what is to be told of it, or nothing.

        One that shows something ends the blindness, and a run is told blind by its first looks.
        """
        reason = blind(seen, pid)
        if not reason or self._blind >= STANDARD.blind_looks:
            self._blind = STANDARD.blind_looks
            return ""
        self._blind += 1
        return reason if self._blind == STANDARD.blind_looks else ""

    def unseen(self) -> str:
        """The wait that decides is not shown; what is to be told of it, or nothing."""
        if self._unseen:
            return ""
        self._unseen = True
        return "blind on this machine: no stack shows what the run waits for, so it is not doubted"

    def failed(self, error: Exception) -> str:
        """A look has ended by an exception; what is to be told of it, or nothing."""
        if self._failed:
            return ""
        self._failed = True
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        return f"a look at the run failed ({what}): nothing follows from it, or from others like it"
