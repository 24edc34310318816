"""A guard's family on Linux: the guard is the subreaper of all below it, and /proc shows them.

A double fork or a session of its own takes nothing out of its reach.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable

from harness.supervise.guarding.tree import Calm, below

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_PTRACER = 1, 36, 0x59616D61
_THREADS = 17
"""The place of the number of threads among a stat's fields after the name."""


class Linux:
    def __init__(self) -> None:
        # Loaded before the fork: between fork and exec nothing may take a lock.
        self._libc = ctypes.CDLL(None)
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._calm = Calm()

    def enter(self, supervisor: int, guard: int) -> bool:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # Where Yama restricts ptrace, the supervisor's stack tools may look at it all the same.
        self._libc.prctl(_PR_SET_PTRACER, supervisor, 0, 0, 0)
        # One that has died before all that: its death is told nobody any more.
        return os.getppid() == guard

    def adopt(self, worker: int) -> None:
        pass

    def below(self, childless: bool) -> list[tuple[int, bool]]:
        return [] if childless else below(_table(), os.getpid())

    def calm(self, left: list[int], rest: Iterable[int], childless: bool) -> bool:
        return self._calm.look(left, rest, children=not childless)

    def same(self, pid: int) -> bool:
        return True

    def in_kernel(self, pid: int) -> object:
        """The CPU times of the threads of a process that are left; None if one is not in D."""
        times = []
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    times.append((tid, *fields[11:13]))
                if fields[0] not in (b"D", b"Z", b"X"):
                    return None
        except OSError:
            return None
        return tuple(times) or None

    def sources(self) -> list[int]:
        return []

    def news(self) -> bool:
        return False


def _table() -> list[tuple[int, int, bool]]:
    """The parent of each process, and True if it is a zombie."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        # A zombie with other threads than its main one has not ended.
        ended = fields[0] in (b"Z", b"X") and int(fields[_THREADS]) <= 1
        found.append((int(name), int(fields[1]), ended))
    return found
