"""The observation of a process tree in doubt: the input to every detector."""

from __future__ import annotations

import msgspec

from harness.model import Machine, Process
from harness.model.world import Ended, Futex, GpuUse, Link, More, World
from harness.stacks.parse import ThreadStack

Window = tuple["Look", ...]
"""Looks between which no tool has touched the tree, in the order in which they were taken."""
Capture = tuple[ThreadStack, ...]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One deep look."""

    t: float
    processes: tuple[Process, ...]
    """The root first, then its descendants."""
    worlds: dict[int, World] = {}
    """The tree below a process as a world of its own, by pid. Only of some, and only on Linux."""
    more: dict[int, More] = {}
    machine: Machine = Machine()


class Doings(msgspec.Struct, frozen=True, kw_only=True):
    """The doings of a thread since the first inspection of a stall. None: could not be read."""

    seconds: float
    """The time in which it was looked at."""
    wakes: int
    """The number of times that it went to wait."""
    armed: int | None = None
    """The number of clocks that it was seen to arm anew."""
    cpu_s: float | None = None
    read: int | None = None
    written: int | None = None
    """Bytes."""
    varied: bool = False
    """True if a variable of the user's own code was seen to change at any inspection, or is bytes,
    of which no change is seen."""
    same: bool = False
    """True if all that is shown of its variables was the same at each inspection: also if that is
    the addresses of objects alone, or nothing."""
    looks: int = 0
    """Inspections at which it had waked since the one before."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen. Pids are keys throughout; the root's comes first in each look."""

    root: int
    windows: tuple[Window, ...]
    relay: int | None = None
    """The process, not of the tree, that passes on what the tree prints: who has started it."""
    stacks: dict[int, tuple[Capture, ...]] = {}
    links: dict[int, tuple[Link, ...]] = {}
    """The files behind each wait for a file, by thread."""
    futexes: dict[int, Futex] = {}
    """The futex behind each wait in a futex, by thread."""
    files: dict[int, tuple[Link, ...]] = {}
    """The pipes, streams, terminals, devices and files that a process has open, by pid: where it is
    not shown which of them a thread waits for."""
    sockets: dict[int, tuple[int, ...]] = {}
    """The processes that a process has a connection to, by pid."""
    names: dict[int, str] = {}
    """Program and script of the tree's processes, and of those at the other end of a link."""
    shares: frozenset[int] = frozenset()
    """Processes that share, or may share, their memory with another one, in the tree or not."""
    on_gpu: frozenset[int] = frozenset()
    """Processes that have a GPU open."""
    gpu: tuple[str, ...] = ()
    """As of `harness.observe.gpu`, when the tree has a GPU open."""
    gpu_use: GpuUse | None = None
    kernel_s: float | None = None
    """Seconds for which the host has not moved at any look while a GPU worked for it: one kernel
    runs for as long at least. None where it moved, or was looked at once."""
    oom_kills: int | None = None
    """The kernel's out-of-memory kills on this machine since the tree is watched; None where it is
    not watched from its start and there were some."""
    ended: tuple[Ended, ...] = ()
    """Processes of the tree that have ended badly since the last step, and are gone."""
    rearmed: dict[int, int] = {}
    """The number of clocks that a thread was seen to arm anew since the last step, by thread."""
    rings: dict[int, float] = {}
    """Seconds until a timer rings that sends a process a signal, by pid, of those that were
    asked."""
    spins: dict[int, str] = {}
    """The place of a thread that is in one place at each look, by thread. Only of those that stay
    there for as long as it takes to call that a loop."""
    may_work: dict[int, float] = {}
    """Those of `spins` that are believed to work all the same: the seconds for which they are."""
    only_wait: frozenset[int] = frozenset()
    """Threads in one place that did nothing but wait for another one, at most inspections."""
    varied: dict[int, bool] = {}
    """True if a variable of the user's own code has changed, False if none did, by thread. Only of
    threads whose variables can be read and tell something."""
    vain: frozenset[int] = frozenset()
    """Threads that have waked quickly for so long that it is no sign of work any more."""
    bystanders: frozenset[int] = frozenset()
    """Threads that were given something in the same beat for so long, with next to no CPU, that
    nobody who only may wait for them is believed to do so."""
    doings: dict[int, Doings] = {}
    """The doings of each thread since the first inspection of the stall, by thread."""
    shows_waits: bool = True
    """False where the platform shows neither system calls nor kernel functions: stacks alone say
    what a thread waits for."""
    trains: tuple[int, int] | None = None
    """Process and thread that report the steps, where they are known."""
    arch: str = ""
    """As of `harness.observe.platform`."""
    ranks: dict[int, int] = {}
    """The process of each rank of a job, by rank; of a rank that has ended, the process it was."""
    rank_count: int | None = None
    """The number of ranks that the job's launcher was told to start, where that can be read."""
    elsewhere: bool = False
    """True if ranks may run on other machines, where they are not seen."""

    @property
    def last(self) -> Look:
        """The last look of the last window."""
        return self.windows[-1][-1]

    def name(self, pid: int) -> str:
        """Such as `process 12 (python train.py ...)`, or `rank 2 (process 12)`."""
        rank = next((rank for rank, one in self.ranks.items() if one == pid), None)
        if rank is not None:
            return f"rank {rank} (process {pid})"
        return f"process {pid}" + (f" ({self.names[pid]})" if pid in self.names else "")
