"""A guard's family on macOS, by libproc, sysctl and kqueue. It has never run on a Mac.

There is no subreaper, and no signal at a parent's death. `kin` remembers who descends from the
worker; kqueue says at once who has forked, and that the supervisor has ended. Line numbers are
those of XNU 11417.101.15:

- NOTE_FORK and NOTE_EXIT of any process may be asked for (`bsd/kern/kern_event.c:1098`).
- A pid is not used again while a group or a session has its number (`bsd/kern/kern_fork.c:979`).
- The environment that a process began with may be read of processes of the same user, but for
  those that macOS protects (`bsd/kern/kern_sysctl.c:1323`).
"""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Collection, Iterable
from typing import Any

from harness.observe.macos import kernel
from harness.supervise.guarding.kin import Kin, Seen
from harness.supervise.guarding.tree import MARK

_KQUEUE: Any = select  # where there is no kqueue, type checkers know none of its names
_ZOMBIE = 5
"""pbi_status."""
_UNINTERRUPTIBLE = 4
"""pth_run_state."""
_MANY = 64


def sees() -> bool:
    """True if libproc answers at all: about this very process."""
    return kernel.process(os.getpid()) is not None


class Libproc:
    """The kernel, as `kin` asks it."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark

    def one(self, pid: int) -> Seen | None:
        bsd = kernel.process(pid)
        if bsd is None:
            return None
        started = bsd.pbi_start_tvsec * 1_000_000 + bsd.pbi_start_tvusec
        return Seen(pid, bsd.pbi_ppid, started, bsd.pbi_status == _ZOMBIE)

    def children(self, pid: int) -> Collection[int]:
        return kernel.children(pid)

    def everybody(self) -> Collection[int]:
        return kernel.of_user(os.geteuid())

    def session(self, pid: int) -> int | None:
        try:
            return os.getsid(pid)
        except OSError:
            return None

    def marked(self, pid: int) -> bool:
        return self._mark in environment(kernel.arguments(pid))


def environment(packed: bytes) -> tuple[bytes, ...]:
    """The variables in what KERN_PROCARGS2 answers, each as NAME=VALUE. Pure. Never raises."""
    if len(packed) < 4:
        return ()
    (number,) = struct.unpack("=i", packed[:4])
    _, _, rest = packed[4:].partition(b"\0")
    words = rest.lstrip(b"\0").split(b"\0")
    return tuple(words[max(number, 0) :])


class Events:
    """The table of processes that the kernel gives at once."""

    def __init__(self) -> None:
        self._queue = _KQUEUE.kqueue()

    def fileno(self) -> int:
        return int(self._queue.fileno())

    def follow(self, pid: int) -> bool:
        """Be told of its forks and of its end. False where there is no such process any more."""
        wanted = _KQUEUE.KQ_NOTE_FORK | _KQUEUE.KQ_NOTE_EXIT
        added = _KQUEUE.kevent(pid, _KQUEUE.KQ_FILTER_PROC, _KQUEUE.KQ_EV_ADD, wanted)
        try:
            self._queue.control([added], 0)
        except OSError:
            return False
        return True

    def news(self) -> list[tuple[int, bool]]:
        """The processes that have forked, or, True, that have ended."""
        events = self._queue.control([], _MANY, 0)
        return [(each.ident, bool(each.fflags & _KQUEUE.KQ_NOTE_EXIT)) for each in events]


class MacOS:
    def __init__(self) -> None:
        self._events = Events()
        self._supervisor = os.getppid()
        # One that has ended before is nobody's parent any more.
        followed = self._events.follow(self._supervisor)
        self._alone = not followed or os.getppid() != self._supervisor
        mark = f"{MARK}={os.environ.get(MARK, '')}".encode()
        apart = (os.getpid(), self._supervisor)
        self._kin = Kin(Libproc(mark), apart, self._events.follow)
        self._calm_before = False
        self._worker = 0
        """The worker, which is our own child: until it is waited for, its pid is no other's."""

    def enter(self, supervisor: int, guard: int) -> bool:
        return True

    def adopt(self, worker: int) -> None:
        self._worker = worker
        self._kin.adopt(worker)

    def below(self, childless: bool) -> list[tuple[int, bool]]:
        if childless:
            self._worker = 0
        found = {seen.pid: seen.ended for seen in self._kin.look()}
        if self._worker:
            found.setdefault(self._worker, False)  # also where nothing is told of it
        return list(found.items())

    def calm(self, left: list[int], rest: Iterable[int], childless: bool) -> bool:
        """Twice in a row: a process that forks and ends while it is looked at is missed once."""
        before, self._calm_before = self._calm_before, not left
        return before and not left

    def same(self, pid: int) -> bool:
        return pid == self._worker or self._kin.same(pid)

    def in_kernel(self, pid: int) -> object:
        task = kernel.task(pid)
        if task is None:
            return None
        sums = task.ptinfo
        listed, numbers = kernel.thread_ids(pid, max(sums.pti_threadnum, 0))
        threads = [one for tid in listed if (one := kernel.thread(pid, tid, numbers)) is not None]
        if not threads or any(one.pth_run_state != _UNINTERRUPTIBLE for one in threads):
            return None
        return sums.pti_total_user, sums.pti_total_system, sums.pti_csw

    def sources(self) -> list[int]:
        return [self._events.fileno()]

    def news(self) -> bool:
        for pid, ended in self._events.news():
            if not ended:
                self._kin.forked(pid)
            elif pid == self._supervisor:
                self._alone = True
        return self._alone
