"""The platform: what the rest of the package asks of it, and which one this is."""

from __future__ import annotations

import functools
import platform
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from harness.model import Machine, Process, Thread
from harness.model.world import Gpus, Hold, More, Relations, Timers, World
from harness.observe.footprint import Footprint
from harness.observe.linux.platform import Linux
from harness.observe.macos.platform import MacOS
from harness.observe.portable import Portable
from harness.observe.witness import Cores, Witness


class Platform(Protocol):
    """The view that a platform offers. What it cannot show is empty, or None: nothing here raises.

    The one exception is `check`.
    """

    name: str
    """The name, as of `sys.platform`."""
    arch: str
    """The processor, as of `platform.machine()`."""
    shows_waits: bool
    """True if a deep look shows the system call, the timeout and the files that a thread has."""

    @property
    def unread(self) -> Mapping[str, str]:
        """The reason why a figure of memory may be missing here, by its name."""

    def check(self) -> None:
        """Raise UsageError where processes cannot be told apart, and so neither watched nor ended.
        """  # fmt: skip

    def processes(self, roots: Iterable[int], deep: bool = False) -> tuple[Process, ...]:
        """`roots` and all that descends from them, each once, parents before children."""

    def world(self, pid: int, guard: int | None = None) -> World | None:
        """A deep look at the tree of `pid`, with the surroundings of each process.

        `guard` adopts what is orphaned in that tree; it is no part of the tree itself.
        """

    def machine(self, whole: bool = False) -> Machine:
        """The whole machine's memory; `whole`: also what takes longer to find out."""

    def held(self, pids: Iterable[int]) -> tuple[int | None, int | None]:
        """(memory of their own in RAM, compressed or swapped; that swapped out), in bytes."""

    def footprint(self) -> Footprint:
        """Somebody who measures the memory of a tree, at one look after the other."""

    def catches(self, pid: int, signal: int) -> bool | None:
        """True if a process has a handler of a signal; None where nobody can say."""

    def oom_kills(self) -> int:
        """The out-of-memory killer's kills on this machine so far; 0 where nobody counts them."""

    def witness(self) -> Witness:
        """Somebody who looks on at a tree from now on, and can be asked how it ended."""

    def cores(self) -> Cores | None:
        """Somebody who knows of the cores of a command; None where nobody does."""

    def crash_report(self, pids: Collection[int], since: float) -> str | None:
        """The system's own report of a crash of one of `pids` since `since`, in seconds since 1970.

        It is waited for. Empty if none comes; None where the system writes none.
        """

    def devices(self, pid: int) -> tuple[str, ...]:
        """The GPUs and their like that a process has open."""

    def gpus(self, pids: Iterable[int], stop: threading.Event | None = None) -> Gpus:
        """The GPUs' work for these processes. It starts a tool, so it is asked in doubt alone.

        Once `stop` is set, the tool is ended.
        """

    def thread(self, pid: int, tid: int) -> Thread | None:
        """A deep look at one thread; None where it has ended, or waits are not shown."""

    def open_files(self, pid: int) -> dict[str, int]:
        """The number of files that a process has open, by kind."""

    def transfers(self, pid: int) -> dict[int, str]:
        """The call in which a thread waits with a part of its bytes moved, perhaps, by thread."""

    def timed_reads(self, process: Process, certain: bool) -> frozenset[int]:
        """The threads that read from a socket which has a timeout of its own; if not `certain`,
        also where it may have one."""

    def astray(self, pid: int) -> tuple[str, ...]:
        """The signals that may come at any moment, and that the main thread, for which they are
        meant, would miss while it is stopped."""

    def relations(self) -> Callable[[Sequence[Process]], Relations]:
        """A reader of the sources that could end the waits of processes: owners of locks, holders
        of pipes, peers. It remembers what takes long to find."""

    def interval_timers(self, pids: Sequence[int]) -> Mapping[int, Timers]:
        """The timers that send signals, by process, as far as they can be found out.

        To be asked, one thread of each is stopped for a moment.
        """

    def holds(self, pids: Iterable[int]) -> tuple[Hold, ...]:
        """Say where processes are held that no signal ends, without those that have ended."""

    def code(self, pid: int) -> str:
        """The mappings of the files whose code a process can execute, as lines of /proc/PID/maps.

        Of each file also the mapping in which it begins.
        """

    def pthreads(self, pid: int) -> Mapping[int, int]:
        """The kernel's number of each thread by the address at which it keeps its own data."""

    def more(self, process: Process) -> More | None:
        """The further facts that a deep look reads of a process."""


PLATFORMS: Mapping[str, Callable[[str, str], Platform]] = {"linux": Linux, "darwin": MacOS}
"""The platform of each `sys.platform`. Any other is shown as far as psutil knows it."""


@functools.cache
def current() -> Platform:
    """The platform of this machine."""
    return PLATFORMS.get(sys.platform, Portable)(sys.platform, platform.machine())


def ptrace_scope() -> str:
    """Yama's rule for debuggers; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/yama/ptrace_scope").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
