"""Whether a process whose threads all wait only sleeps, and when it will wake. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness import syscalls
from harness.detect import deadlock
from harness.model import Process, Thread
from harness.model.world import World


def asleep(looks: Sequence[World], arch: str) -> bool:
    """Whether the first process's main thread is in one single timed wait, which ends by itself.

    Or waits for children, and all of these are asleep in this way. A thread that polls is switched
    in and out between two looks; one that sleeps is not.
    """
    if len(looks) < deadlock.LOOKS:
        return False
    marks = [_slumber(look.processes[0], look, arch) for look in looks[-deadlock.LOOKS :]]
    return None not in marks and len(set(marks)) == 1


def wakes_in(look: World, arch: str) -> float | None:
    """Seconds until what `asleep` saw is over at the soonest; None when that cannot be told."""
    return _wakes_in(look.processes[0], look, arch)


def _wakes_in(process: Process, look: World, arch: str) -> float | None:
    main = main_thread(process)
    if main is None or main.syscall is None:
        return None
    if not for_a_child(main, arch):
        return main.wakes_in
    below = [_wakes_in(child, look, arch) for child in children(process, look)]
    known = [one for one in below if one is not None]
    return min(known) if known and len(known) == len(below) else None


def polls(looks: Sequence[World]) -> bool:
    """Whether the first process's main thread ran between any two looks, however shortly."""
    mains = [main_thread(look.processes[0]) for look in looks]
    return len({main and main.switches for main in mains}) > 1


def main_thread(process: Process) -> Thread | None:
    """The main thread of a process, if it could be seen."""
    return next((thread for thread in process.threads if thread.tid == process.pid), None)


def for_a_child(thread: Thread, arch: str) -> bool:
    """Whether the call that a thread is in waits for a child."""
    call = thread.syscall
    return call is not None and syscalls.name(call, arch) in ("wait4", "waitid")


def children(process: Process, look: World) -> list[Process]:
    """Those of `process` that are alive, or not waited for yet."""
    return [other for other in look.processes if other.ppid == process.pid]


_Slumber = tuple[object, ...]


def _slumber(process: Process, look: World, arch: str) -> _Slumber | None:
    """What must not change while it sleeps; None when it may be anything but asleep."""
    main = main_thread(process)
    if main is None or main.syscall is None:
        return None
    mark = (main.tid, main.syscall, main.args, main.switches)
    if for_a_child(main, arch) and main.state == "S":
        below = [_slumber(child, look, arch) for child in children(process, look)]
        return (mark, *below) if below and None not in below else None
    code, _ = deadlock.against(process, main, look, arch) or ("", "")
    ends = code == "timed_wait" or (code == "poll" and timed_poll(main, arch))
    return mark if ends else None


_MILLISECONDS = {"poll": 2, "epoll_wait": 3, "epoll_pwait": 3}
_TIMEOUTS = {**_MILLISECONDS, "ppoll": 2, "select": 4, "pselect6": 4, "epoll_pwait2": 3}
"""The place of its timeout among a poll's arguments: a C int, or an address."""


def timed_poll(thread: Thread, arch: str) -> bool:
    """Whether the call that a thread is in is a poll with a timeout."""
    name = syscalls.name(thread.syscall, arch) if thread.syscall is not None else None
    place = _TIMEOUTS.get(name or "")
    if place is None or len(thread.args) <= place:
        return False
    value = thread.args[place]
    return 0 < value & 0xFFFFFFFF < 1 << 31 if name in _MILLISECONDS else value != 0
