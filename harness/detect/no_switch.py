"""The strongest claim about a stall where waits are not shown: no thread of the tree ran. Pure.

A task counts how often its threads are switched in, call the kernel and send messages. A tree stood
still where none of that grows, nothing uses the CPU, and the GPU does nothing for its processes.
That is no proof that nobody will wake it.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.detect.activity import process_at
from harness.detect.observation import Look, Observation, Window
from harness.text import units


def no_switch(observed: Observation) -> dict[str, object] | None:
    """The time for which no thread ran, and the processes; None where one did, or it is unknown."""
    if not stood(observed.windows) or not _gpu_stood(observed):
        return None
    seconds = sum(window[-1].t - window[0].t for window in observed.windows)
    pids = [process.pid for process in observed.last.processes]
    asked = "" if observed.gpu_use is None else ", and the GPU did nothing for them"
    return {
        "seconds": round(seconds, 2),
        "processes": pids[:64],
        "told": f"for {units.duration(seconds)} no thread of these processes ran{asked}",
    }


def stood(windows: Sequence[Window]) -> bool:
    """True if no thread of the tree ran in any of the windows."""
    longer = [window for window in windows if len(window) > 1]
    return bool(longer) and all(map(_stood, longer))


def _stood(window: Window) -> bool:
    first = window[0]
    marks = {process.pid: _mark(first, process.pid) for process in first.processes}
    if not marks or None in marks.values():
        return False
    return all(
        {process.pid: _mark(look, process.pid) for process in look.processes} == marks
        for look in window[1:]
    )


def _mark(look: Look, pid: int) -> tuple[object, ...] | None:
    """All that may not change; None where a thread runs, or the counts cannot be read."""
    process, more = process_at(look, pid), look.more.get(pid)
    if process is None or any(thread.state == "R" for thread in process.threads):
        return None
    if process.state == "Z":
        return ("ended",)
    if more is None or more.moves is None or not process.threads:
        return None
    times = tuple((thread.tid, thread.cpu_s) for thread in process.threads)
    return (more.started, more.moves, process.cpu_s, process.io_bytes, times)


def _gpu_stood(observed: Observation) -> bool:
    """True if no process has a GPU open, or the GPU is known to have done nothing for them."""
    return not observed.on_gpu or (observed.gpu_use is not None and observed.gpu_use.own == 0)
