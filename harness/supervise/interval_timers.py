"""Answers about timers. That none is armed holds as long as the process stands still.

To be asked moves one thread of the process. So such an answer counts only where nothing else of it
has moved between a look before and a look after. When a timer rings is believed until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.model import Process
from harness.model.world import Timers

SETTLE_S = 0.05
"""After processes were asked, until their threads wait again where they did."""
_OFTEN = 3
"""Times that a process is asked at most while it stands still."""


class IntervalTimers:
    """The timers of the processes of a tree, as far as they were asked."""

    def __init__(self, ask: Callable[[Sequence[int]], Mapping[int, Timers]]) -> None:
        self._ask = ask
        self._answers: dict[int, tuple[bool, object]] = {}
        self._rings: Mapping[int, float] = {}
        """Never changed, but replaced: another thread may be reading it."""
        self._asked: dict[int, int] = {}

    def reset(self) -> None:
        """The tree has moved: no answer holds any more."""
        self._answers.clear()
        self._rings = {}
        self._asked.clear()

    def ask(self, pids: Iterable[int], look: Callable[[], Sequence[Process]]) -> bool:
        """Ask processes; returns whether an answer is new. `look` shows the tree as it is."""
        todo = [pid for pid in pids if self._asked.get(pid, 0) < _OFTEN]
        if not todo:
            return False
        before = {process.pid: process for process in look()}
        self._asked |= {pid: self._asked.get(pid, 0) + 1 for pid in todo}
        answers = self._ask(todo)
        now = time.monotonic()
        rings = {pid: now + s for pid, one in answers.items() if (s := one.rings_s) is not None}
        kept = {pid: at for pid, at in self._rings.items() if pid not in answers}
        self._rings = kept | rings
        time.sleep(SETTLE_S)
        held = {
            process.pid: (answers[process.pid].armed, _mark(process))
            for process in look()
            if process.pid in answers and _stood_still(before.get(process.pid), process)
        }
        self._answers |= held
        return bool(held or rings)

    def rings(self) -> dict[int, float]:
        """Seconds until the first timer of a process rings, by pid; without those that have."""
        now = time.monotonic()
        return {pid: at - now for pid, at in self._rings.items() if at > now}

    def of(self, process: Process) -> bool | None:
        """Say if a process has armed ITIMER_REAL; None where it was not asked, or has moved
        since."""
        answer, mark = self._answers.get(process.pid, (None, None))
        return answer if mark == _mark(process) else None


def _mark(process: Process) -> object:
    return frozenset((t.tid, t.syscall, t.args, t.switches, t.cpu_s) for t in process.threads)


def _stood_still(before: Process | None, after: Process) -> bool:
    """True if all threads wait where they did, and at most one, which was asked, has run."""
    if before is None:
        return False
    waits = [frozenset((t.tid, t.syscall, t.args) for t in one.threads) for one in (before, after)]
    switches = {thread.tid: thread.switches for thread in before.threads}
    ran = [t.tid for t in after.threads if t.switches != switches.get(t.tid)]
    return waits[0] == waits[1] and len(ran) <= 1
