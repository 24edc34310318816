"""Rest after what has cost CPU time, so that it stays a share of a core."""

from __future__ import annotations

import threading
import time

import msgspec

from harness.observe import run_tool


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """The share of a core that something which is done again and again may take. In seconds."""

    share: float
    free_s: float = 0.0
    """The cost up to which a thing may be done again at once."""
    latest_s: float
    """The longest rest: what is not looked at for longer would be missed."""

    def rest(self, spent: float) -> float:
        """The time for which the CPU is left to others, once `spent` seconds of it were used."""
        return 0.0 if spent <= self.free_s else min(self.latest_s, spent / self.share)


def used(stop: threading.Event) -> float:
    """Seconds of the CPU that this thread has used, and the tools that are run until `stop`: those
    of other runs, and their workers, are theirs."""
    return time.thread_time() + run_tool.spent(stop)
