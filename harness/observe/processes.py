"""What is seen of processes from outside: the one place that knows the platform."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import psutil

from harness.errors import UsageError
from harness.model import Machine, Process, Sample, Thread
from harness.observe import linux
from harness.observe.macos import memory as darwin

_UNREAD = {
    "linux": {
        "swap_used": "/proc/meminfo does not tell",
        "major_faults": "/proc/PID/stat could not be read",
        "footprint": "/proc/PID/status does not tell (a kernel before 4.5)",
        "swapped": "/proc/PID/status does not tell (a kernel before 4.5)",
        "compressed": "there is neither zswap nor zram",
        "pressure": "the kernel has no /proc/pressure/memory",
        "pressure_level": "macOS alone has it",
    },
    "darwin": {
        "swap_used": "sysctl vm.swapusage does not tell",
        "major_faults": "the process's counters could not be read",
        "footprint": "proc_pid_rusage failed",
        "swapped": "macOS does not tell it of a process",
        "compressed": "vm_stat does not tell",
        "pressure": "Linux alone has it",
        "pressure_level": "sysctl kern.memorystatus_vm_pressure_level does not tell",
    },
}

_STATES = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
}


def check() -> None:
    """Raise UsageError where processes cannot be told apart, and so neither watched nor ended."""
    if sys.platform == "linux" and linux.foreign():
        raise UsageError(
            "/proc does not show the processes of this PID namespace: mount it anew, for example "
            "with `unshare --pid --fork --mount-proc`"
        )


def processes(pid: int, also: Iterable[int] = (), deep: bool = False) -> tuple[Process, ...]:
    """`pid` first, then all that descends from it or from a process of `also`."""
    roots = (pid, *also)
    if sys.platform == "linux":
        return linux.processes(roots, deep)
    found: dict[int, Process] = {}
    for root in roots:
        for one in _family(root):
            found.setdefault(one.pid, one)
    return tuple(found.values())


def machine(whole: bool = False) -> Machine:
    """The whole machine's memory; `whole`: also what takes longer to find out."""
    if sys.platform == "linux":
        return linux.machine(whole)
    found = Machine(
        available=psutil.virtual_memory().available, swap_used=psutil.swap_memory().used
    )
    return darwin.strained(found) if whole and sys.platform == "darwin" else found


def held(pids: Iterable[int]) -> tuple[int | None, int | None]:
    """(memory of their own in RAM, compressed or swapped; that swapped out), each if known."""
    if sys.platform == "linux":
        return linux.held(pids)
    return darwin.footprint(pids) if sys.platform == "darwin" else None, None


def unread(sample: Sample) -> dict[str, str]:
    """Why the figures of memory that `sample` lacks could not be read, by their name."""
    reasons = _UNREAD.get(sys.platform, {})
    return {name: why for name, why in reasons.items() if getattr(sample, name) is None}


def oom_kills() -> int:
    """How often the out-of-memory killer has struck on this machine; 0 where nobody counts."""
    return linux.oom_kills() if sys.platform == "linux" else 0


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
