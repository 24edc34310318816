"""The clocks that threads wait for: when each rings, and how often it was armed anew. Pure.

A tool that stops a process interrupts its waits. The kernel then restarts a timed one as another
system call, whose timeout cannot be read, or with the rest of its time: neither is a new clock. Nor
is that of the wait for the interpreter's lock, which a thread arms anew every 5 ms while it works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from harness import syscalls
from harness.model import Process, Thread

_RESTART = "restart_syscall"
_POLL_ARGS = 3
"""The arguments of `poll`, which alone becomes another call without having a clock."""
_LATER_S, _LATER = 0.05, 0.02
"""A clock that rings so much later than before was armed anew: in seconds, or as a share."""
_BRIEF_S = 0.01
"""A clock that rings so soon is that of the interpreter's lock, or ends so often that the wakes of
its thread tell."""


class _Clock(msgspec.Struct):
    syscall: int
    args: tuple[int, ...]
    switches: int | None
    rings: float
    armed: int = 0


class Clocks:
    """Follows the clocks of all threads of a tree from look to look."""

    def __init__(self, arch: str) -> None:
        self._arch = arch
        self._clocks: dict[int, _Clock] = {}
        self._untimed: dict[int, tuple[int, tuple[int, ...]]] = {}
        """The call and the arguments of a thread that waits without a clock, by thread."""
        self._touched = False
        self._timers: dict[int, float] = {}
        """The time by which the timer rings that a thread waits for as for a file, by thread."""
        self._rung: Counter[int] = Counter()

    def reset(self) -> None:
        """A step came: what was counted is over."""
        for clock in self._clocks.values():
            clock.armed = 0
        self._rung.clear()

    def timers(self, left: Mapping[int, float], began: float, ended: float) -> None:
        """Take the seconds that the timers of threads have left, by thread, read between two times.

        A timer is a file, whose time a thread's system call does not show.
        """
        for tid, seconds in left.items():
            at_most = self._timers.get(tid)
            self._rung[tid] += at_most is not None and began + seconds > at_most + _LATER_S
            self._timers[tid] = ended + seconds

    def touched(self) -> None:
        """A tool has stopped the tree since the last look."""
        self._touched = True

    @property
    def armed(self) -> dict[int, int]:
        """The number of times a thread's clock was armed anew since the last step, by thread."""
        armed = {tid: clock.armed for tid, clock in self._clocks.items()}
        return armed | {tid: armed.get(tid, 0) + count for tid, count in self._rung.items()}

    def of(self, processes: Iterable[Process], t: float) -> tuple[Process, ...]:
        """`processes` as seen at `t`, with the timeouts of waits that were restarted."""
        seen = tuple(
            msgspec.structs.replace(
                process, threads=tuple(self._of(thread, t) for thread in process.threads)
            )
            for process in processes
        )
        self._touched = False
        there = {thread.tid for process in seen for thread in process.threads}
        for known in (self._clocks, self._untimed, self._timers, self._rung):
            for tid in known.keys() - there:
                del known[tid]  # a thread to come may have its number
        return seen

    def _of(self, thread: Thread, t: float) -> Thread:
        if thread.syscall is None:
            return thread
        clock = self._clocks.get(thread.tid)
        if thread.wakes_in is None:
            if syscalls.name(thread.syscall, self._arch) == _RESTART:
                return self._restarted(thread, clock, t)
            self._untimed[thread.tid] = thread.syscall, thread.args
            return thread
        self._untimed.pop(thread.tid, None)
        if thread.wakes_in < _BRIEF_S:
            return thread
        rings = t + thread.wakes_in
        if clock is None or clock.syscall != thread.syscall:
            armed = 0 if clock is None else clock.armed + 1
            self._clocks[thread.tid] = _Clock(
                thread.syscall, thread.args, thread.switches, rings, armed
            )
            return thread
        later = rings - clock.rings > max(_LATER_S, _LATER * thread.wakes_in)
        if self._touched and thread.args == clock.args and clock.rings > t:
            # The rest of the wait, or all of it again, by what the tool has done.
            clock.switches = thread.switches
            return msgspec.structs.replace(thread, wakes_in=clock.rings - t)
        if later and thread.switches != clock.switches:
            clock.armed += 1
        clock.args, clock.switches, clock.rings = thread.args, thread.switches, rings
        return thread

    def _restarted(self, thread: Thread, clock: _Clock | None, t: float) -> Thread:
        """A wait that was stopped and goes on, as the call that it was before."""
        call, args = self._untimed.get(thread.tid, (None, ()))
        # The timeout of a poll is an argument: one of before may have had none, and this one has.
        if call is not None and thread.args[:_POLL_ARGS] == args[:_POLL_ARGS]:
            return msgspec.structs.replace(thread, syscall=call)
        if clock is None or thread.args[:1] != clock.args[:1]:
            return thread
        left = max(0.0, clock.rings - t)
        return msgspec.structs.replace(thread, syscall=clock.syscall, wakes_in=left)
