"""The wakes of threads, where the kernel does not count it for each. Pure.

A thread that waits at a look and has used the CPU since the look before has waked in between. XNU
counts its time to the microsecond. How often it waked is known where it alone has run: then each
switch of its process was to it. Else it waked once at least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from harness.model import Process, Thread
from harness.model.world import More

_WAITS = "SD"


class Wakes:
    """Follows the threads of a tree from look to look."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[Process, More]] = {}
        self._counts: dict[tuple[int, int | None, int], int] = {}
        self._touched = False
        self.since_step: Counter[int] = Counter()
        """The number of times since the last step, by thread."""

    def reset(self) -> None:
        """A step came: what was counted is over."""
        self.since_step.clear()

    def touched(self) -> None:
        """A tool has looked into the tree since the last look, and may have waked its threads."""
        self._touched = True

    def of(self, processes: Sequence[Process], more: Mapping[int, More]) -> dict[int, More]:
        """`more` of `processes`, with the wakes of their threads and the time that these ran."""
        told = {}
        for process in processes:
            figures = more.get(process.pid)
            if figures is None:
                continue
            before = self._before.get(process.pid)
            if before is not None and before[1].started == figures.started and not self._touched:
                self._count(process, figures, *before)
            key = process.pid, figures.started
            told[process.pid] = msgspec.structs.replace(
                figures,
                sleeps={one.tid: self._counts.get((*key, one.tid), 0) for one in process.threads},
                ran={one.tid: one.cpu_s for one in process.threads},
            )
        self._touched = False
        self._before = {one.pid: (one, more[one.pid]) for one in processes if one.pid in told}
        return {**more, **told}

    def _count(self, process: Process, now: More, earlier: Process, then: More) -> None:
        used = {thread.tid: thread.cpu_s for thread in earlier.threads}
        ran = [one for one in process.threads if one.cpu_s > used.get(one.tid, one.cpu_s)]
        alone = len(ran) == 1
        switches = _switches(now) - _switches(then) if alone else 1
        for thread in ran:
            if _waits(thread):
                key = process.pid, now.started, thread.tid
                self._counts[key] = self._counts.get(key, 0) + max(switches, 1)
                self.since_step[thread.tid] += max(switches, 1)


def _switches(more: More) -> int:
    """The wakes of all threads of a process; 0 where they are not counted."""
    return 0 if more.moves is None or more.calls is None else more.moves - more.calls


def _waits(thread: Thread) -> bool:
    return thread.state in _WAITS
