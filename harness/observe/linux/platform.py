"""Linux, as the rest of the package asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from harness.errors import UsageError
from harness.model import Machine, Process, Thread
from harness.model.world import Gpus, Hold, More, Relations, Timers, World
from harness.observe import gpu
from harness.observe.linux import deep as deep_look
from harness.observe.linux import (
    files,
    holds,
    mappings,
    memory,
    reading,
    real_timer,
    relations,
    socket_timeout,
    tree,
    witness,
)

_NO_SIZES = "the process had ended, or the kernel is older than 4.5 and does not say"


class Linux:
    """Linux by its /proc."""

    unread: Mapping[str, str] = {
        "swap_used": "/proc/meminfo does not tell",
        "major_faults": "/proc/PID/stat could not be read",
        "footprint": _NO_SIZES,
        "swapped": _NO_SIZES,
        "compressed": "there is neither zswap nor zram",
        "pressure": "the kernel has no /proc/pressure/memory",
        "pressure_level": "macOS alone has it",
        "page_outs": "read on macOS alone",
        "decompressions": "read on macOS alone",
    }
    shows_waits = True

    def __init__(self, name: str, arch: str) -> None:
        self.name = name
        self.arch = arch

    def check(self) -> None:
        if reading.foreign():
            raise UsageError(
                "/proc does not show the processes of this PID namespace: mount it anew, for "
                "example with `unshare --pid --fork --mount-proc`"
            )

    def processes(self, roots: Iterable[int], deep: bool = False) -> tuple[Process, ...]:
        return tree.processes(roots, deep)

    def world(self, pid: int, guard: int | None = None) -> World | None:
        return deep_look.world(pid, guard)

    def machine(self, whole: bool = False) -> Machine:
        return memory.machine(whole)

    def held(self, pids: Iterable[int]) -> tuple[int | None, int | None]:
        return memory.held(pids)

    def footprint(self) -> memory.Footprint:
        return memory.Footprint()

    def catches(self, pid: int, signal: int) -> bool | None:
        return deep_look.catches(pid, signal)

    def oom_kills(self) -> int:
        return memory.oom_kills()

    def cores(self) -> witness.Cores:
        return witness.Cores()

    def crash_report(self, pids: Collection[int], since: float) -> str | None:
        return None

    def witness(self) -> witness.Witness:
        return witness.Witness()

    def devices(self, pid: int) -> tuple[str, ...]:
        return files.devices(pid)

    def gpus(self, pids: Iterable[int], stop: threading.Event | None = None) -> Gpus:
        return gpu.of(frozenset(pid for pid in pids if self.devices(pid)), stop)

    def pthreads(self, pid: int) -> Mapping[int, int]:
        return {}  # the stack tools know the kernel's numbers

    def thread(self, pid: int, tid: int) -> Thread | None:
        return tree.thread(pid, tid)

    def open_files(self, pid: int) -> dict[str, int]:
        return files.open_files(pid)

    def transfers(self, pid: int) -> dict[int, str]:
        return tree.transfers(pid)

    def timed_reads(self, process: Process, certain: bool) -> frozenset[int]:
        return socket_timeout.reads(process, self.arch, certain)

    def astray(self, pid: int) -> tuple[str, ...]:
        return deep_look.astray(pid)

    def relations(self) -> Callable[[Sequence[Process]], Relations]:
        return relations.Reader(self.arch)

    def interval_timers(self, pids: Sequence[int]) -> Mapping[int, Timers]:
        return real_timer.timers(pids)

    def holds(self, pids: Iterable[int]) -> tuple[Hold, ...]:
        return holds.holds(pids, self.arch)

    def code(self, pid: int) -> str:
        return mappings.code(reading.read(f"/proc/{pid}/maps"))

    def more(self, process: Process) -> More | None:
        return deep_look.more(process)
