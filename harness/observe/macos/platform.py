"""macOS, as the rest of the package asks for it. It has never run there."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from harness.model import Machine, Process
from harness.model.world import Gpus, Hold, More, Relations
from harness.observe.macos import crashes, gpu, jetsam, kernel, memory, peers, tree
from harness.observe.macos.vnodes import Vnodes
from harness.observe.portable import Portable
from harness.observe.witness import Witness

_KINDS = {1: "file", 2: "socket", 3: "shared memory", 4: "semaphore", 5: "kqueue", 6: "pipe"}


class MacOS(Portable):
    """macOS by libproc, sysctl and Mach. psutil is asked nothing about other processes."""

    unread: Mapping[str, str] = {
        "swap_used": "sysctl vm.swapusage does not tell",
        "major_faults": "the process's counters could not be read",
        "footprint": "proc_pid_rusage failed",
        "swapped": "macOS does not tell it of a process",
        "compressed": "host_statistics64 does not tell",
        "pressure": "Linux alone has it",
        "pressure_level": "sysctl kern.memorystatus_vm_pressure_level does not tell",
        "page_outs": "host_statistics64 does not tell",
        "decompressions": "host_statistics64 does not tell",
    }

    def __init__(self, name: str, arch: str) -> None:
        super().__init__(name, arch)
        self._registry = gpu.Registry()
        self._vnodes = Vnodes()

    def processes(self, roots: Iterable[int], deep: bool = False) -> tuple[Process, ...]:
        """`roots` and all that descends from them, each once. No look is a deep one here."""
        return tree.processes(roots)

    def machine(self, whole: bool = False) -> Machine:
        return memory.machine(whole)

    def held(self, pids: Iterable[int]) -> tuple[int | None, int | None]:
        return memory.footprint(pids), None

    def footprint(self) -> memory.Footprint:
        return memory.Footprint()

    def open_files(self, pid: int) -> dict[str, int]:
        return dict(Counter(_KINDS.get(kind, "other") for _, kind in kernel.files(pid)))

    def crash_report(self, pids: Collection[int], since: float) -> str | None:
        return crashes.wait_for(pids, since, Path.home())

    def witness(self) -> Witness:
        return jetsam.Witness()

    def gpus(self, pids: Iterable[int], stop: threading.Event | None = None) -> Gpus:
        return self._registry.gpus(pids, stop)

    def relations(self) -> Callable[[Sequence[Process]], Relations]:
        return functools.partial(peers.relations, vnodes=self._vnodes)

    def holds(self, pids: Iterable[int]) -> tuple[Hold, ...]:
        return tuple(
            Hold(pid=pid, name=seen.name, state=seen.state)
            for pid in pids
            if (seen := tree.one(pid)) is not None and seen.state != "Z"
        )

    def pthreads(self, pid: int) -> Mapping[int, int]:
        task = kernel.task(pid)
        about = 0 if task is None else max(task.ptinfo.pti_threadnum, 0)
        numbers, known = kernel.thread_ids(pid, about)
        handles = kernel.handles(pid, about)
        # A thread that came or went in between would shift the one list against the other.
        if not known or kernel.thread_ids(pid, about) != (numbers, True):
            return {}
        return dict(zip(handles, numbers, strict=True)) if len(handles) == len(numbers) else {}

    def more(self, process: Process) -> More | None:
        return tree.more(process.pid)
