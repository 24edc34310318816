"""The motion of a process between the looks of each window. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from harness.detect.io_activity import io_done
from harness.detect.observation import Look, Window
from harness.model import Process, Thread
from harness.model.world import More


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """One thread. None: could not be read."""

    name: str
    cpu: float
    """Share of a core."""
    system: float | None = None
    """Share of a core that it spends in the kernel."""
    queued: float = 0.0
    """Share of the time in which it wanted a core and had none."""
    switches: int | None
    """The number of times it was switched in or out, in all windows."""
    sleeps: int | None
    """The number of times it went to wait by itself."""
    states: str
    """Its state at each look."""

    @property
    def runnable(self) -> bool:
        """True if it ran or wanted to at most looks."""
        return 2 * self.states.count("R") > len(self.states)

    @property
    def wanted(self) -> float:
        """The share of a core that it would use if others left it one."""
        return self.cpu / max(1.0 - self.queued, self.cpu) if self.cpu else 0.0

    @property
    def wakes(self) -> bool:
        """True if it was switched in or out; False also where that could not be read."""
        return bool(self.switches)


class Motion(msgspec.Struct, frozen=True, kw_only=True):
    """One process over all windows together. None: could not be read."""

    seconds: float
    """The windows' lengths together: the time in which no tool held the process."""
    cpu: float
    """Shares of a core, of all threads together."""
    io: int | None
    """Bytes, as `harness.detect.io_activity` counts them."""
    io_main: int | None = None
    """Bytes that the main thread itself has read and written."""
    major: int | None
    minor: int | None
    calls: int | None = None
    """System calls, and messages. Counted where waits are not shown."""
    came_or_went: bool
    """True if a thread or child did."""
    threads: dict[int, Pace]

    @property
    def hidden(self) -> float:
        """Shares of a core that threads have used which are not shown: they have ended, or are not
        listed."""
        return self.cpu - sum(pace.cpu for pace in self.threads.values())

    def rate(self, count: float | None) -> float:
        """A second."""
        return (count or 0) / self.seconds if self.seconds else 0.0


def process_at(look: Look, pid: int) -> Process | None:
    """The process `pid` in a look; None if it was not there."""
    return next((process for process in look.processes if process.pid == pid), None)


def has_ended(process: Process | None) -> bool:
    """True if nothing of it runs any more; its parent may not have noticed."""
    return process is None or (
        process.state in "ZX" and all(thread.state in "ZX" for thread in process.threads)
    )


def motion(windows: Sequence[Window], pid: int) -> Motion:
    """The motion of `pid`. A window in which it is not all the time, as one and the same, says only
    that something came or went."""
    spans = [(window[0], window[-1]) for window in windows if len(window) > 1]
    whole = [
        (first, last, before, after)
        for first, last in spans
        if (before := process_at(first, pid)) and (after := process_at(last, pid))
        and _same(first, last, pid)
    ]  # fmt: skip
    seconds = sum(last.t - first.t for first, last, _, _ in whole)
    pairs = [(before, after) for _, _, before, after in whole]
    faults = [(first.more.get(pid), last.more.get(pid)) for first, last, _, _ in whole]
    every = [_Threads.of(one, pid) for window in windows for one in window]
    ends = [(_Threads.of(first, pid), _Threads.of(last, pid)) for first, last, _, _ in whole]
    return Motion(
        seconds=seconds,
        cpu=sum(after.cpu_s - before.cpu_s for before, after in pairs) / seconds
        if seconds
        else 0.0,
        io=_known(io_done(before, after, last.t - first.t) for first, last, before, after in whole),
        io_main=_sum([(before.io_main, after.io_main) for before, after in pairs]),
        major=_sum([(b.major_faults, a.major_faults) for b, a in pairs]),
        minor=_sum(
            [(b.minor_faults if b else None, a.minor_faults if a else None) for b, a in faults]
        ),
        calls=_calls(faults),
        came_or_went=len(whole) < len(spans)
        or any(_crowd(window, pid) for window in windows if len(window) > 1),
        threads={
            thread.tid: _pace(thread, every, ends, seconds)
            for thread in (pairs[-1][1].threads if pairs else ())
        },
    )


def paged_out(windows: Sequence[Window]) -> float | None:
    """Pages a second that the machine wrote to a disk; None where that is not told."""
    spans = [(window[0], window[-1]) for window in windows if len(window) > 1]
    counts = [(first.machine.page_outs, last.machine.page_outs) for first, last in spans]
    pages, seconds = _sum(counts), sum(last.t - first.t for first, last in spans)
    return None if pages is None or not seconds else pages / seconds


def _same(first: Look, last: Look, pid: int) -> bool:
    """Not another process that was given the number of one that has ended."""
    one, other = first.more.get(pid), last.more.get(pid)
    return one is None or other is None or one.started == other.started


def _crowd(window: Window, pid: int) -> bool:
    crowds = set()
    for look in window:
        found = process_at(look, pid)
        threads = frozenset(thread.tid for thread in found.threads) if found else frozenset()
        children = frozenset(one.pid for one in look.processes if one.ppid == pid)
        crowds.add((threads, children))
    return len(crowds) > 1


def _sum(pairs: Sequence[tuple[int | None, int | None]]) -> int | None:
    return _known(
        None if before is None or after is None else after - before for before, after in pairs
    )


def _calls(pairs: Sequence[tuple[More | None, More | None]]) -> int | None:
    """None also where it is not known of one window."""
    counts = [
        None if a is None or b is None or a.calls is None or b.calls is None else a.calls - b.calls
        for b, a in pairs
    ]
    return None if None in counts else _known(counts)


def _known(figures: Iterable[int | None]) -> int | None:
    known = [one for one in figures if one is not None]
    return sum(known) if known else None


class _Threads(NamedTuple):
    """The threads of one process at one look."""

    threads: dict[int, Thread]
    more: More

    @classmethod
    def of(cls, look: Look, pid: int) -> _Threads:
        process = process_at(look, pid)
        return cls(
            {thread.tid: thread for thread in process.threads} if process else {},
            look.more.get(pid) or More(),
        )


def _pace(
    thread: Thread,
    looks: Sequence[_Threads],
    ends: Sequence[tuple[_Threads, _Threads]],
    seconds: float,
) -> Pace:
    tid = thread.tid
    pairs = [
        (before.threads[tid], after.threads[tid])
        for before, after in ends
        if tid in before.threads and tid in after.threads
    ]
    cpu = [after.cpu_s - before.cpu_s for before, after in pairs]
    system = [
        after.system_s - before.system_s
        for before, after in pairs
        if before.system_s is not None and after.system_s is not None
    ]
    waited = [
        after.more.queued[tid] - before.more.queued[tid]
        for before, after in ends
        if tid in before.more.queued and tid in after.more.queued
    ]
    return Pace(
        name=thread.name,
        cpu=sum(cpu) / seconds if seconds else 0.0,
        system=sum(system) / seconds if seconds and system else None,
        queued=min(sum(waited) / seconds, 1.0) if seconds else 0.0,
        switches=_sum([(before.switches, after.switches) for before, after in pairs]),
        sleeps=_sum(
            [(before.more.sleeps.get(tid), after.more.sleeps.get(tid)) for before, after in ends]
        ),
        states="".join(look.threads[tid].state for look in looks if tid in look.threads),
    )
