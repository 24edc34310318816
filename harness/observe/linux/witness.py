"""Linux's knowledge of who or what ended a process: noted while it lives, and told at its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from harness.model.death import EndFacts
from harness.observe.linux import freezer, memory, reading
from harness.observe.linux.cores import Cores as Cores
from harness.observe.linux.kernel_log import KernelLog

_POLL_S = 0.02
"""Between two looks at what grows towards a limit: a look every quarter of a second would miss
most of the end."""
_MOST = 64
"""Processes of one tree that are looked at."""


class Witness:
    """Looks on at one tree from now on."""

    def __init__(self) -> None:
        self._log = KernelLog()
        # Whoever dies before the first look was in the group that it was started in.
        self._kills = freezer.kill_counts(os.getpid())
        self._own = dict(self._kills)
        self._machine = self._last = memory.oom_kills()
        self._peaks: dict[int, int] = {}
        self._over = threading.Event()
        self._polled: int | None = None

    def look(self, pids: Iterable[int]) -> None:
        """Note where these processes are, and what they use; the first is the one launched."""
        self._last = memory.oom_kills()
        for index, pid in enumerate(list(pids)[:_MOST]):
            if self._measured(pid) and index == 0:
                counts = freezer.kill_counts(pid)
                if counts.keys() != self._own.keys():
                    self._own = counts  # it has gone to another group
                    # What was killed before this look may have been of this group.
                    missed = self._last - self._machine
                    before = {file: max(0, count - missed) for file, count in counts.items()}
                    self._kills = {**before, **self._kills}
                if self._polled is None and _is_limited(pid):
                    self._polled = pid
                    threading.Thread(target=self._poll, args=(pid,), daemon=True).start()

    def _measured(self, pid: int) -> bool:
        """Note its address space; False once it has ended."""
        peak = reading.status(f"/proc/{pid}/status").get(b"VmPeak", b"").split()
        if peak:
            self._peaks[pid] = int(peak[0]) * 1024
        return bool(peak)

    def _poll(self, pid: int) -> None:
        while self._measured(pid) and not self._over.wait(_POLL_S):
            pass

    def tell(self, pid: int) -> EndFacts:
        """The facts about the end of `pid`; to be called once, after it."""
        self._over.set()
        grown = [
            now - self._kills[file]
            for file in self._own
            if (now := freezer.kills_in(file)) is not None
        ]
        kills = sum(grown) if grown else None
        if not kills and (pid not in self._peaks or memory.oom_kills() > self._last):
            kills = None  # nobody has seen in which group it was, or went to after the last look
        return EndFacts(
            pid=pid,
            address_peak=self._peaks.get(pid),
            group_kills=kills,
            kernel=self._log.read(),
        )


def _is_limited(pid: int) -> bool:
    """True if its address space has a limit."""
    lines = reading.read(f"/proc/{pid}/limits").splitlines()
    found = [line.split() for line in lines if line.startswith(b"Max address space")]
    return bool(found) and found[0][3] != b"unlimited"
