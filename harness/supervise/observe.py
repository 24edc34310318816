"""What is seen of processes from outside: the one place that knows the platform."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import psutil

from harness.model import Machine, Process, Thread
from harness.supervise import procfs

_STATES = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
}


def processes(pid: int, also: Iterable[int] = (), deep: bool = False) -> tuple[Process, ...]:
    """`pid` first, then all that descends from it or from a process of `also`."""
    roots = (pid, *also)
    if sys.platform == "linux":
        return procfs.processes(roots, deep)
    found: dict[int, Process] = {}
    for root in roots:
        for one in _family(root):
            found.setdefault(one.pid, one)
    return tuple(found.values())


def machine() -> Machine:
    """The whole machine's memory."""
    if sys.platform == "linux":
        return procfs.machine()
    return Machine(available=psutil.virtual_memory().available, swap_used=psutil.swap_memory().used)


def oom_kills() -> int:
    """How often the out-of-memory killer has struck on this machine; 0 where nobody counts."""
    return procfs.oom_kills() if sys.platform == "linux" else 0


def _family(root: int) -> list[Process]:
    """A process and its descendants through psutil, on macOS: no names or states of threads."""
    try:
        top = psutil.Process(root)
        family = [top, *top.children(recursive=True)]
    except psutil.Error:
        return []
    found = []
    for process in family:
        try:
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
                state = _STATES.get(process.status(), "S")
                found.append(
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
    return found
