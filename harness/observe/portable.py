"""Processes and memory as psutil shows them, on any platform: no names or states of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import psutil

from harness.model import Machine, Process, Thread
from harness.model.world import Gpus, Hold, More, Relations, Timers, World
from harness.observe import gpu
from harness.observe.footprint import Footprint, Unmeasured
from harness.observe.psutil_memory import FAILS, memory
from harness.observe.witness import Cores, NoWitness, Witness

Answer = TypeVar("Answer")

_STATES = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
}


class Portable:
    """A platform of which only psutil is known. What psutil cannot show is empty or None."""

    unread: Mapping[str, str] = {}
    shows_waits = False

    def __init__(self, name: str, arch: str) -> None:
        self.name = name
        self.arch = arch

    def check(self) -> None:
        """Nothing can keep psutil from telling processes apart."""

    def processes(self, roots: Iterable[int], deep: bool = False) -> tuple[Process, ...]:
        """`roots` and all that descends from them, each once. No look is a deep one here."""
        by_pid: dict[int, Process] = {}
        for root in roots:
            for process in family(root):
                by_pid.setdefault(process.pid, process)
        return tuple(by_pid.values())

    def world(self, pid: int, guard: int | None = None) -> World | None:
        return None

    def machine(self, whole: bool = False) -> Machine:
        found = memory()
        return Machine(available=found.available, swap_used=found.swap_used)

    def held(self, pids: Iterable[int]) -> tuple[int | None, int | None]:
        return None, None

    def footprint(self) -> Footprint:
        return Unmeasured()

    def catches(self, pid: int, signal: int) -> bool | None:
        return None

    def oom_kills(self) -> int:
        return 0

    def cores(self) -> Cores | None:
        return None

    def crash_report(self, pids: Collection[int], since: float) -> str | None:
        return None

    def witness(self) -> Witness:
        return NoWitness()

    def devices(self, pid: int) -> tuple[str, ...]:
        return ()

    def gpus(self, pids: Iterable[int], stop: threading.Event | None = None) -> Gpus:
        return gpu.of(frozenset(pid for pid in pids if self.devices(pid)), stop)

    def thread(self, pid: int, tid: int) -> Thread | None:
        return None

    def open_files(self, pid: int) -> dict[str, int]:
        return {}

    def transfers(self, pid: int) -> dict[int, str]:
        return {}

    def timed_reads(self, process: Process, certain: bool) -> frozenset[int]:
        return frozenset()

    def astray(self, pid: int) -> tuple[str, ...]:
        return ()

    def relations(self) -> Callable[[Sequence[Process]], Relations]:
        return lambda processes: Relations()

    def interval_timers(self, pids: Sequence[int]) -> Mapping[int, Timers]:
        return {}

    def holds(self, pids: Iterable[int]) -> tuple[Hold, ...]:
        return tuple(
            Hold(pid=pid, name=seen[0].name, state=seen[0].state)
            for pid in pids
            if (seen := family(pid)[:1]) and seen[0].state != "Z"
        )

    def code(self, pid: int) -> str:
        return ""

    def pthreads(self, pid: int) -> Mapping[int, int]:
        return {}

    def more(self, process: Process) -> More | None:
        return None


def family(root: int) -> list[Process]:
    """A process and its descendants, each with what of it can be read."""
    try:
        top = psutil.Process(root)
        members = [top, *top.children(recursive=True)]
    except FAILS:
        return []
    return [seen for process in members if (seen := _process(process)) is not None]


def _process(process: psutil.Process) -> Process | None:
    """None once it is gone. Of a process that runs, a figure that is refused is missing: macOS
    refuses to show the threads of any other one."""
    with process.oneshot():
        try:
            state = _STATES.get(process.status(), "S")
            ppid, name = process.ppid() or 0, process.name()
        except FAILS:
            return None
        times, memory_info = _ask(process.cpu_times), _ask(process.memory_info)
        threads = _ask(process.threads) or []
    return Process(
        pid=process.pid,
        ppid=ppid,
        name=name,
        state=state,
        cpu_s=times.user + times.system if times else 0.0,
        rss=memory_info.rss if memory_info else None,
        major_faults=getattr(memory_info, "pageins", None),
        threads=tuple(
            Thread(tid=one.id, name="", state=state, cpu_s=one.user_time + one.system_time)
            for one in threads
        ),
    )


def _ask(question: Callable[[], Answer]) -> Answer | None:
    try:
        return question()
    except FAILS:
        return None
