"""May a tool stop a process while it looks? Pure.

A stop ends some system calls with EINTR, cuts a transfer short, and in D or in a frozen group it
leaves a signal pending that strikes later. What was measured of each call stands in
docs/internals/looking.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from harness import syscalls
from harness.model import Process, Thread

_INTERRUPTED = frozenset(
    ("epoll_wait", "epoll_pwait", "epoll_pwait2", "semop", "semtimedop", "rt_sigtimedwait",
     "io_uring_enter", "io_getevents", "io_pgetevents", "accept", "accept4", "recvfrom",
     "recvmsg", "recvmmsg",
     "sendto", "sendmsg", "sendmmsg")
)  # fmt: skip
"""They end with EINTR when stopped: the sockets' ones where they have a timeout of their own."""
_BY_OTHERS = frozenset(
    ("semop", "semtimedop", "io_uring_enter", "io_getevents", "io_pgetevents")
)  # fmt: skip
"""Those that no such runtime makes itself: an extension made them, which may not repeat them."""
_REPEATING = ("python", "node")
"""Begins of the names of runtimes that repeat such a call: PEP 475, libuv."""
_ANY_THREAD = ("node",)
"""Begins of the names of those whose handlers of signals do their work in any thread."""
_HELD = frozenset(("request_wait_answer", "get_signal", "__refrigerator"))
"""Kernel functions of a thread that a dead file system holds, or that is frozen."""


def why_not(process: Process, program: str, arch: str, timed: Collection[int] = ()) -> str:
    """Say why the process must not be stopped; empty when it may be.

    `program` is the name of its executable, without the folder. `timed`: threads that read from a
    socket which has a timeout of its own; in a program that does not repeat such a call, also one
    which may have it.
    """
    again = repeats(program)
    reasons = (_of(thread, again, arch, thread.tid in timed) for thread in process.threads)
    return next((reason for reason in reasons if reason), "")


def astray(program: str, signals: Collection[str]) -> str:
    """Say which of `signals` another thread than the main one could take meanwhile, and the main
    one miss it; empty where none does harm."""
    if not signals or program.startswith(_ANY_THREAD):
        return ""
    return f"{min(signals)}, which it handles, could reach another thread meanwhile"


def repeats(program: str) -> bool:
    """True of a runtime that repeats a call which a stop has ended."""
    return program.startswith(_REPEATING)


def _of(thread: Thread, again: bool, arch: str, timed: bool) -> str:
    who = f"thread {thread.tid}"
    if thread.state == "D":
        return f"{who} waits in the kernel, and a stop would strike it later"
    if thread.wchan in _HELD:
        return f"{who} is frozen, or waits for a file system that does not answer"
    if thread.state not in "SR" or thread.syscall is None:
        return ""
    cut = syscalls.transfer(thread.syscall, thread.args, arch)
    if cut:
        return f"it would cut short the {cut} that {who} is in"
    name = syscalls.name(thread.syscall, arch)
    if ((name in _INTERRUPTED or timed) and not again) or name in _BY_OTHERS:
        return f"it could end the {name} that {who} is in with an error"
    if timed:
        # The runtime does not know of the timeout, and waits for all of it once more.
        return f"it would make the {name} that {who} is in begin anew"
    return ""


def any_of(
    processes: Iterable[Process], program: str, arch: str, timed: Collection[int] = ()
) -> str:
    """As `why_not`, of one process at several looks: it may have been in such a call before."""
    return next((why for one in processes if (why := why_not(one, program, arch, timed))), "")
