"""The memory of GPUs that processes hold, as NVIDIA's driver counts it for each of them.

Apple's GPUs share the memory of the machine: what they use is in the footprint of the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from harness.observe import gpu, platform
from harness.observe.footprint import Held
from harness.observe.gpu import Device

EVERY_S = 5.0
"""Between two questions: each of them starts a process."""
_AGES_S = 3 * EVERY_S
"""An answer that is older says nothing of now."""


def fullest(devices: Iterable[Device], pids: Collection[int]) -> tuple[Held, int | None] | None:
    """The GPU of which `pids` hold most: what they hold, and its memory in bytes. Pure.

    None where they are not named: in a PID namespace they have other numbers than ours.
    """
    found = []
    for device in devices:
        of = {pid: held for pid, held in device.held if pid in pids}
        if of:
            found.append((Held(total=sum(of.values()), of=of), device.total))
    return max(found, key=lambda one: one[0].total, default=None)


class GpuMemory:
    """Asks the driver in a thread of its own, for it may take seconds to answer, or never do."""

    def __init__(
        self, ask: Callable[[], Sequence[Device] | None] = gpu.devices, every: float = EVERY_S
    ) -> None:
        self._ask = ask
        self._every = every
        self._thread: threading.Thread | None = None
        self._next = 0.0
        self._answer: tuple[float, tuple[Device, ...]] | None = None
        self.number = 0
        """The number of answers so far: two looks at one answer are no two looks."""

    def look(self, pids: Collection[int], now: float) -> tuple[Held, int | None] | None:
        """The last answer about `pids`, as of `fullest`; asks anew where that is due."""
        asking = self._thread is not None and self._thread.is_alive()
        if now >= self._next and not asking:
            self._next = now + self._every
            if any(platform.current().devices(pid) for pid in pids):
                self._thread = threading.Thread(target=self._take, name="gpu memory", daemon=True)
                self._thread.start()
        if self._answer is None or now - self._answer[0] > _AGES_S:
            return None
        return fullest(self._answer[1], pids)

    def _take(self) -> None:
        devices = self._ask()
        if devices is not None:
            self._answer = time.monotonic(), tuple(devices)
            self.number += 1
