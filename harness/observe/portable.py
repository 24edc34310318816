"""Processes and memory as psutil shows them, on any platform: no names or states of threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import psutil

from harness.model import Machine, Process, Thread
from harness.model.world import Hold, More, Relations, World

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
        return Machine(
            available=psutil.virtual_memory().available, swap_used=psutil.swap_memory().used
        )

    def held(self, pids: Iterable[int]) -> tuple[int | None, int | None]:
        return None, None

    def oom_kills(self) -> int:
        return 0

    def devices(self, pid: int) -> tuple[str, ...]:
        return ()

    def open_files(self, pid: int) -> dict[str, int]:
        return {}

    def transfers(self, pid: int) -> dict[int, str]:
        return {}

    def relations(self, processes: Sequence[Process]) -> Relations:
        return Relations()

    def interval_timers(self, pids: Sequence[int]) -> Mapping[int, bool]:
        return {}

    def holds(self, pids: Iterable[int]) -> tuple[Hold, ...]:
        return tuple(
            Hold(pid=pid, name=seen[0].name, state=seen[0].state)
            for pid in pids
            if (seen := family(pid)[:1]) and seen[0].state != "Z"
        )

    def more(self, process: Process) -> More | None:
        return None


def family(root: int) -> list[Process]:
    """A process and its descendants."""
    try:
        top = psutil.Process(root)
        members = [top, *top.children(recursive=True)]
    except psutil.Error:
        return []
    readable = []
    for process in members:
        try:
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
                state = _STATES.get(process.status(), "S")
                readable.append(
                    Process(
                        pid=process.pid,
                        ppid=process.ppid() or 0,
                        name=process.name(),
                        state=state,
                        cpu_s=times.user + times.system,
                        rss=memory.rss,
                        major_faults=getattr(memory, "pageins", None),
                        threads=tuple(
                            Thread(
                                tid=thread.id,
                                name="",
                                state=state,
                                cpu_s=thread.user_time + thread.system_time,
                            )
                            for thread in process.threads()
                        ),
                    )
                )
        except psutil.Error:
            continue
    return readable
