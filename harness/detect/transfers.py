"""Whether a process tree still exchanges data, which the kernel does not count for sockets. Pure.

A thread that waits for a socket or pipe, and is woken again and again though no timeout of its own
can have woken it, is given data, or room for it. A download that takes a minute looks so: it uses
next to no CPU, and what it receives shows nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness import syscalls
from harness.detect import sleeping
from harness.model import Process, Thread
from harness.model.world import World

LOOKS = 3
OFTEN = 20.0
"""Wakes a second by which data is told from what happens to a dead program as well: a thread beside
the main one keeps a connection alive, a stack tool looks at it."""
_POLLS = frozenset(
    ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2")
)
_EXCHANGES = _POLLS | frozenset(
    ("read", "readv", "recvfrom", "recvmsg", "recvmmsg", "write", "writev", "sendto", "sendmsg",
     "sendmmsg", "sendfile", "splice")
)  # fmt: skip


def flows(looks: Sequence[World], arch: str, still: bool) -> bool:
    """Whether data came or went in the first process, or below it, between all of the last looks.

    `still` says that nothing else has moved. Then each wake of its main thread counts, as does that
    of a child's for which it waits; where the CPU is used, and of other threads, many have to come.
    """
    if len(looks) < LOOKS:
        return False
    last = looks[-LOOKS:]
    front = _front(last[-1], arch) if still else frozenset()
    kept = [{thread.tid: thread for thread in _threads(look)} for look in last]
    return any(
        _fed(
            [threads[tid] for threads in kept],
            [look.t for look in last],
            arch,
            0.0 if tid in front else OFTEN,
        )
        for tid in kept[0].keys() & kept[1].keys() & kept[2].keys()
    )


def _fed(seen: Sequence[Thread], times: Sequence[float], arch: str, often: float) -> bool:
    waits = [one.state == "S" and _exchanges(one, arch) for one in seen]
    if not waits[1] or not all(w or one.state == "R" for w, one in zip(waits, seen, strict=True)):
        return False
    for index in (1, 2):
        before, after = seen[index - 1].switches, seen[index].switches
        passed = times[index] - times[index - 1]
        if before is None or after is None or not after - before > often * passed:
            return False
    # The wait at the second look had begun after the first: has its own timeout ended it?
    if not sleeping.timed_poll(seen[1], arch):
        return True
    wakes_in = seen[1].wakes_in
    return wakes_in is not None and wakes_in > times[2] - times[0]


def _exchanges(thread: Thread, arch: str) -> bool:
    return thread.syscall is not None and syscalls.name(thread.syscall, arch) in _EXCHANGES


def _threads(look: World) -> list[Thread]:
    """Those of the first process, and of all that descends from it."""
    family: set[int] = set()
    threads: list[Thread] = []
    for process in look.processes:  # parents before children
        if not family or process.ppid in family:
            family.add(process.pid)
            threads += process.threads
    return threads


def _front(look: World, arch: str) -> frozenset[int]:
    """The main thread of the first process, and those of the children for which it waits."""
    todo: list[Process] = list(look.processes[:1])
    front: set[int] = set()
    while todo:
        process = todo.pop()
        main = sleeping.main_thread(process)
        if main is None or main.syscall is None:
            continue
        front.add(main.tid)
        if sleeping.for_a_child(main, arch):
            todo += sleeping.children(process, look)
    return frozenset(front)
