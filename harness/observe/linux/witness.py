"""What Linux knows of who or what ended a process: noted while it lives, and told at its end."""

from __future__ import annotations

import os
from collections.abc import Iterable

from harness.model.death import EndFacts
from harness.observe.linux import freezer, reading
from harness.observe.linux.kernel_log import KernelLog

_MOST = 64
"""Processes of one tree that are looked at."""


class Witness:
    """Looks on at one tree from now on."""

    def __init__(self) -> None:
        self._log = KernelLog()
        # Whoever dies before the first look was in the group that it was started in.
        self._kills = freezer.kill_counts(os.getpid())
        self._own = dict(self._kills)
        self._peaks: dict[int, int] = {}

    def look(self, pids: Iterable[int]) -> None:
        """Note where these processes are, and what they use; the first is the one launched."""
        for index, pid in enumerate(list(pids)[:_MOST]):
            peak = reading.status(f"/proc/{pid}/status").get(b"VmPeak", b"").split()
            if peak:
                self._peaks[pid] = int(peak[0]) * 1024
            if index == 0 and peak:
                counts = freezer.kill_counts(pid)
                if counts.keys() != self._own.keys():
                    self._own = counts  # it has gone to another group
                    self._kills = {**counts, **self._kills}

    def tell(self, pid: int) -> EndFacts:
        """What is known of the end of `pid`; to be called once, after it."""
        grown = [
            now - self._kills[file]
            for file in self._own
            if (now := freezer.kills_in(file)) is not None
        ]
        kills = sum(grown) if grown else None
        if pid not in self._peaks and not kills:
            kills = None  # nobody has seen in which group it was
        return EndFacts(
            pid=pid,
            address_peak=self._peaks.get(pid),
            group_kills=kills,
            kernel=self._log.read(),
        )
