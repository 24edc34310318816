"""The supervisor's view from outside: processes, their threads, and the machine's memory."""

from __future__ import annotations

import msgspec

from harness.model.beats import Position


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """One thread of a watched process. None is "could not be read", never "zero"."""

    tid: int
    name: str
    state: str
    """The state as in /proc: R running, S sleeping, D uninterruptible, T stopped, t traced, Z
    zombie."""
    cpu_s: float
    system_s: float | None = None
    """The part of that time that was spent in the kernel."""
    syscall: int | None = None
    """Number of the system call it sits in; -1 when blocked outside one, None when unknown."""
    args: tuple[int, ...] = ()
    switches: int | None = None
    """Voluntary and involuntary context switches since it started."""
    wakes_in: float | None = None
    """Seconds until the timed wait it is in ends by itself, where that can be read."""
    wchan: str | None = None
    """Kernel function that it waits in, without the compiler's suffixes; "" when the kernel names
    none. Read in deep looks of threads in state S or D."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    ppid: int
    name: str
    state: str
    cpu_s: float
    """User and system time of all its threads, dead ones included."""
    rss: int | None = None
    major_faults: int | None = None
    io_bytes: int | None = None
    """Bytes read and written through system calls."""
    io_main: int | None = None
    """Those of them that its main thread did."""
    threads: tuple[Thread, ...] = ()
    main: int | None = None
    """Number of its main thread, where that is not the number of the process."""

    @property
    def main_thread(self) -> int:
        """Number of its main thread."""
        return self.pid if self.main is None else self.main


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The whole machine's memory at one moment."""

    available: int | None = None
    swap_used: int | None = None
    compressed: int | None = None
    """Memory that compressed pages take: macOS's compressor, Linux's zswap and zram."""
    pressure: float | None = None
    """Percent of the last 10 s in which something waited for memory (Linux)."""
    pressure_level: int | None = None
    """1 normal, 2 warning, 4 critical (macOS)."""
    page_outs: int | None = None
    decompressions: int | None = None
    """Pages that were written to a disk, and that were decompressed, since the machine started
    (macOS)."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything seen of one worker at one moment."""

    t: float
    rank: int = 0
    position: Position | None = None
    """None until the worker's first beat."""
    steps: int = 0
    """Steps whose evaluation has returned."""
    loss: float | None = None
    processes: tuple[Process, ...] = ()
    """The worker first, then its descendants."""
    machine: Machine = Machine()


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of samples.jsonl: what a report needs of a snapshot."""

    t: float
    step: int | None = None
    phase: str | None = None
    rss: int | None = None
    cpu_s: float = 0.0
    major_faults: int | None = None
    threads: int = 0
    processes: int = 0
    available: int | None = None
    swap_used: int | None = None
    footprint: int | None = None
    """Memory that is the processes' own, in RAM, compressed or swapped out: unlike the RSS it does
    not fall when they swap. macOS's phys_footprint; Linux's RssAnon + RssShmem + VmSwap."""
    swapped: int | None = None
    """The part of the processes' own memory that is swapped out (Linux)."""
    compressed: int | None = None
    pressure: float | None = None
    pressure_level: int | None = None
    page_outs: int | None = None
    decompressions: int | None = None
    """These five are the machine's."""
