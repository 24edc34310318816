"""Processes and their threads on macOS, by libproc: five calls a process and one a thread."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from harness.model import Process, Thread
from harness.model.world import More
from harness.observe.macos import kernel
from harness.observe.macos.layouts import BsdInfo, TaskAllInfo, TaskInfo, ThreadInfo

_STOPPED, _ZOMBIE = 4, 5
"""p_stat. A process that runs and one that sleeps have the same: only threads tell them apart."""
_TRACED = 2
"""pbi_flags."""
_OF_RUN_STATE = {1: "R", 2: "t", 3: "S", 4: "D", 5: "Z"}
"""A thread that is suspended while its process is not is held from outside: by a debugger, or by
`sample` at one of its looks."""
_FULL = 2**31 - 1
"""A counter of a task stops here, and then tells nothing."""


def processes(roots: Iterable[int]) -> tuple[Process, ...]:
    """`roots` and all that descends from them, each once, parents before children."""
    found: dict[int, Process] = {}
    below = _Children()
    todo: deque[tuple[int, int | None]] = deque((root, None) for root in roots)
    while todo:
        pid, parent = todo.popleft()
        if pid in found or pid <= 0:
            continue
        process = one(pid)
        # Who is listed and names another parent has another one by now, or the list is wrong.
        if process is not None and (parent in (None, process.ppid) or _is_traced(pid)):
            found[pid] = process
            todo += ((child, pid) for child in below.of(process))
    return tuple(found.values())


class _Children:
    """The children of processes in one look: as they are listed, or as they name their parents.

    A system that lists none would make of a child another program, and one that need not do
    anything for who waits for it. It is seen by a process that its own parent's list lacks.
    """

    def __init__(self) -> None:
        self._lists: bool | None = None
        self._named: dict[int, list[int]] | None = None

    def of(self, process: Process) -> tuple[int, ...]:
        listed = kernel.children(process.pid)
        if listed:
            self._lists = True
        elif self._lists is None:
            self._lists = process.pid in kernel.children(process.ppid)
        if self._lists:
            return listed
        if self._named is None:
            self._named = _by_parent(process.pid)
        return tuple(self._named.get(process.pid, ()))


def _by_parent(pid: int) -> dict[int, list[int]]:
    """The processes of the user that has `pid`, by the parents that they name."""
    found: dict[int, list[int]] = defaultdict(list)
    for one_of_them in kernel.of_same_user(pid):
        if (bsd := kernel.process(one_of_them)) is not None:
            found[bsd.pbi_ppid].append(one_of_them)
    return found


def one(pid: int) -> Process | None:
    """A process with what of it can be read; None once it is gone, or if it is another user's."""
    task = kernel.task(pid)
    if task is None:
        gone = kernel.process(pid)
        return None if gone is None else _ended(pid, gone)
    bsd, sums = task.pbsd, task.ptinfo
    held = _held(bsd)
    listed, numbers = kernel.thread_ids(pid, max(sums.pti_threadnum, 0))
    read = [(tid, kernel.thread(pid, tid, numbers)) for tid in listed]
    # The oldest thread is the one that the process has begun with.
    oldest = listed[0] if listed else None
    threads = tuple(_thread(tid, info, held) for tid, info in read if info is not None)
    if not _believed(threads, sums):
        threads = ()
    main = next((each.state for each in threads if each.tid == oldest), "S")
    tick = kernel.tick_s()
    used = kernel.rusage(pid)
    return Process(
        pid=pid,
        ppid=bsd.pbi_ppid,
        name=_name(bsd),
        state=held or main,
        cpu_s=sum(each.cpu_s for each in threads)
        if tick is None
        else (sums.pti_total_user + sums.pti_total_system) * tick,
        rss=kernel.size(sums.pti_resident_size),
        major_faults=_count(sums.pti_pageins),
        io_bytes=None
        if used is None
        else kernel.count(used.ri_diskio_bytesread + used.ri_diskio_byteswritten),
        threads=threads,
        main=oldest,
    )


def _is_traced(pid: int) -> bool:
    """True if a debugger has the process: it names that one, and XNU lists it at both parents."""
    bsd = kernel.process(pid)
    return bsd is not None and bool(bsd.pbi_flags & _TRACED)


def _believed(threads: Sequence[Thread], sums: TaskInfo) -> bool:
    """True if these are all threads of a task, with their times.

    XNU counts those that it lists (osfmk/kern/bsd_kern.c:1120, 1177): of a shorter list one has
    just ended, or the one that works may be missing. Times are exact to the microsecond, and no
    process comes to life without some.
    """
    return len(threads) >= sums.pti_threadnum and any(each.cpu_s for each in threads)


def more(pid: int) -> More | None:
    """The further facts that a deep look reads of a process."""
    task = kernel.task(pid)
    return None if task is None else _more(task)


def _more(task: TaskAllInfo) -> More:
    bsd, sums = task.pbsd, task.ptinfo
    counts = [
        _count(each)
        for each in (
            sums.pti_syscalls_unix,
            sums.pti_syscalls_mach,
            sums.pti_messages_sent,
            sums.pti_messages_received,
        )
    ]
    known = [each for each in counts if each is not None]
    calls = sum(known) if len(known) == len(counts) else None
    switches = _count(sums.pti_csw)
    started = kernel.count(bsd.pbi_start_tvsec * 1_000_000 + bsd.pbi_start_tvusec)
    return More(
        started=started,
        age_s=None if started is None else time.time() - started / 1e6,
        minor_faults=_count(sums.pti_faults),
        calls=calls,
        moves=None if calls is None or switches is None else calls + switches,
    )


def _count(value: int) -> int | None:
    return int(value) if 0 <= value < _FULL else None


def _held(bsd: BsdInfo) -> str:
    """`T` of a process that a signal has stopped, `t` where a debugger has; else empty."""
    if bsd.pbi_status != _STOPPED:
        return ""
    return "t" if bsd.pbi_flags & _TRACED else "T"


def _thread(tid: int, info: ThreadInfo, held: str) -> Thread:
    return Thread(
        tid=tid,
        name=_text(info.pth_name),
        state=held or _OF_RUN_STATE.get(info.pth_run_state, "S"),
        cpu_s=(info.pth_user_time + info.pth_system_time) / 1e9,
        system_s=info.pth_system_time / 1e9,
    )


def _ended(pid: int, bsd: BsdInfo) -> Process | None:
    if bsd.pbi_status != _ZOMBIE:
        return None
    return Process(pid=pid, ppid=bsd.pbi_ppid, name=_name(bsd), state="Z", cpu_s=0.0)


def _name(bsd: BsdInfo) -> str:
    return _text(bsd.pbi_name) or _text(bsd.pbi_comm)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
