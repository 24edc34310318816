"""One deep look at a process tree: what each process could be woken by, and who is at the other
end of its files."""

from __future__ import annotations

import msgspec

from harness.model.snapshot import Process


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What could wake a process from outside its threads. None is "could not be read"."""

    tracer: int | None = None
    """Pid of a debugger that is attached; 0 for none."""
    pending: bool | None = None
    """Whether a signal is waiting to be delivered that is not blocked."""
    alarm: bool | None = None
    """Whether an interval timer, which /proc does not show, may be armed: SIGALRM has a handler, or
    this is a child that was started by exec, over which a timer is kept."""
    timers: int | None = None
    """POSIX timers."""
    devices: tuple[str, ...] | None = None
    """Open device files that work on their own: all that are not known to be harmless."""
    asynchronous: tuple[str, ...] | None = None
    """What can raise a signal or complete by itself: O_ASYNC, a lease, an open folder, io_uring, a
    handler for SIGIO or SIGURG."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """One deep look at a whole process tree."""

    t: float
    processes: tuple[Process, ...]
    surroundings: dict[int, Surroundings] = {}
    """By pid."""
    unseen: tuple[int, ...] = ()
    """Pids of children that the kernel lists and of which nothing could be read."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What lies behind a file that a thread waits for."""

    told: str
    """Such as `a pipe`, `a terminal`, `a socket to port 80 of another machine`."""
    peers: tuple[int, ...] = ()
    """The processes at its other end, as far as they can be seen."""
    only_own: bool = False
    """Whether only the process itself holds the other end, so that nothing will come of it."""
