"""A deep look at a whole tree: the surroundings of each process, and not only what it does."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time

from harness import syscalls
from harness.model import Process, Thread
from harness.model.world import More, Surroundings, World
from harness.observe.linux import files, freezer, reading, tree

_CALLED = (signal.SIGIO, signal.SIGURG)
"""Signals that a file sends to its owner, which the kernel does not show. The owner need not be who
has the file open. Without a handler SIGURG does nothing."""
_NOT_SENT = frozenset(
    signal.Signals(number)
    for name in (
        "SIGINT",
        "SIGSEGV",
        "SIGBUS",
        "SIGFPE",
        "SIGILL",
        "SIGABRT",
        "SIGTRAP",
        "SIGSYS",
        "SIGPIPE",
        "SIGCHLD",
        "SIGWINCH",
        "SIGCONT",
        "SIGALRM",
        "SIGIO",
        "SIGURG",
        "SIGPROF",
        "SIGVTALRM",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
    )
    if (number := getattr(signal, name, None)) is not None
)
"""Signals whose handlers say nothing about what others might send: a runtime's own, those for
faults, and those that are asked for elsewhere here, as that for the end of a child."""
_BY_THEMSELVES = (signal.SIGCHLD, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO)
"""What comes by itself: a child may be started at any moment, and /proc shows neither interval
timers nor the files that send a signal."""
_C_LIBRARY = frozenset(range(32, signal.SIGRTMIN))
"""The C library's own signals, which it sends to single threads; they have no names."""
_TAKES = "rt_sigtimedwait"
_ARCH = platform.machine()
_TIMERS = "timers"
_FEW = 64
"""Threads of a process of which each is asked what it has read and written: that is one more file
for each of them."""
_EXIT_STATUS = 49
"""The place of a process's exit status among its stat's fields after the name."""


def world(pid: int, guard: int | None = None) -> World:
    """A deep look at a whole tree: what a proof of deadlock is made from.

    `guard` adopts what is orphaned in the tree of `pid`; it is no part of that itself.
    """
    roots = [pid] if guard is None else [pid, guard]
    seen, unseen = tree.family(roots, deep=True)
    found = tuple(one for one in seen if one.pid != guard)
    return World(
        t=time.monotonic(),
        processes=found,
        surroundings={process.pid: _surroundings(process) for process in found},
        unseen=unseen,
    )


def more(process: Process) -> More | None:
    """The further facts that a deep look reads of a process."""
    stat = reading.stat(f"/proc/{process.pid}/stat")
    if stat is None:
        return None
    _, fields = stat
    swap = _number(f"/proc/{process.pid}/status", b"VmSwap:")
    sleeps, queued, ran, io = {}, {}, {}, {}
    few = len(process.threads) <= _FEW
    for thread in process.threads:
        home = f"/proc/{process.pid}/task/{thread.tid}"
        slept = _number(f"{home}/status", b"voluntary_ctxt_switches:")
        if slept is not None:
            sleeps[thread.tid] = slept
        # Nanoseconds on a core and in its queue, and how often it was given one.
        times = reading.read(f"{home}/schedstat").split()
        if len(times) > 1:
            ran[thread.tid], queued[thread.tid] = int(times[0]) / 1e9, int(times[1]) / 1e9
        if few and (moved := _read_and_written(f"{home}/io")) is not None:
            io[thread.tid] = moved
    status = _status(process.pid, fields)
    killed = status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return More(
        started=int(fields[19]),
        minor_faults=int(fields[7]),
        swap=None if swap is None else swap * 1024,
        status=status,
        oom_kills=freezer.oom_kills(process.pid) if killed else None,
        sleeps=sleeps,
        queued=queued,
        ran=ran,
        io=io,
    )


def _read_and_written(path: str) -> tuple[int, int] | None:
    """Bytes, also of pipes and sockets; None where they may not be read."""
    words = [line.split() for line in reading.read(path).splitlines()]
    figures = {one[0]: int(one[1]) for one in words if len(one) > 1}
    read, written = figures.get(b"rchar:"), figures.get(b"wchar:")
    return None if read is None or written is None else (read, written)


def _status(pid: int, fields: list[str]) -> int | None:
    """The end of a zombie; None of another user's, of which the kernel shows 0."""
    if fields[0] != "Z" or len(fields) <= _EXIT_STATUS:
        return None
    if os.geteuid() not in (0, _number(f"/proc/{pid}/status", b"Uid:")):
        return None
    status = int(fields[_EXIT_STATUS])
    return status if os.WIFEXITED(status) or os.WIFSIGNALED(status) else None


def _number(path: str, label: bytes) -> int | None:
    """The figure of a line that begins with `label`."""
    lines = reading.read(path).splitlines()
    words = next((line.split() for line in lines if line.startswith(label)), [])
    return int(words[1]) if len(words) > 1 else None


def _surroundings(process: Process) -> Surroundings:
    pid = process.pid
    status = {
        line.partition(b":")[0]: line.partition(b":")[2].split()
        for line in reading.read(f"/proc/{pid}/status").splitlines()
    }
    devices, asynchronous = files.working_alone(pid)
    if asynchronous is not None:
        asynchronous += _called(status)
    if asynchronous == () and not devices:  # one reason is enough
        asynchronous = files.completing(pid)
    return Surroundings(
        tracer=int(status[b"TracerPid"][0]) if b"TracerPid" in status else None,
        pending=_pending(status),
        alarm=_alarm(status),
        alarm_blocked=any(_takes_alarm(pid, one) for one in process.threads)
        or _has(status, b"SigBlk", signal.SIGALRM),
        timers=_timers(pid, status),
        devices=devices,
        asynchronous=asynchronous,
        handlers=_handlers(status),
        child_handler=_has(status, b"SigCgt", signal.SIGCHLD),
    )


def _pending(status: dict[bytes, list[bytes]]) -> bool | None:
    """True if a signal waits that the main thread does not block; it stands for its process.

    Also whether one has struck: what is written out as a core is about to end.
    """
    if status.get(b"CoreDumping") == [b"1"]:
        return True
    try:
        blocked, ours, shared = (int(status[n][0], 16) for n in (b"SigBlk", b"SigPnd", b"ShdPnd"))
    except (KeyError, IndexError):
        return None
    return bool((ours | shared) & ~blocked)


def _alarm(status: dict[bytes, list[bytes]]) -> bool | None:
    """True where SIGALRM has a handler, False where it is ignored, None where it has neither.

    Then an interval timer, if one is armed, ends the process, which wakes a parent that waits. A
    fork disarms it and an exec does not: `perl -e 'alarm 9; exec ...'` is how some limit a
    command's time.
    """
    if _has(status, b"SigCgt", signal.SIGALRM):
        return True
    return False if _has(status, b"SigIgn", signal.SIGALRM) else None


def _takes_alarm(pid: int, thread: Thread) -> bool:
    """True if a thread waits to take SIGALRM, which the kernel does not show as blocked meanwhile:
    the set that it has given says so."""
    if thread.syscall is None or syscalls.name(thread.syscall, _ARCH) != _TAKES:
        return False
    taken = reading.memory(pid, thread.args[0], 8) if thread.args else b""
    return bool(int.from_bytes(taken, sys.byteorder) >> (signal.SIGALRM - 1) & 1)


def _has(status: dict[bytes, list[bytes]], mask: bytes, number: int) -> bool | None:
    if mask not in status:
        return None
    return bool(int(status[mask][0], 16) >> (number - 1) & 1)


def _called(status: dict[bytes, list[bytes]]) -> tuple[str, ...]:
    """Handlers for signals that a file may send to its owner, of which nothing else can be seen."""
    return tuple(f"a handler for {one.name}" for one in _CALLED if _has(status, b"SigCgt", one))


def _handlers(status: dict[bytes, list[bytes]]) -> tuple[str, ...] | None:
    """Signals that others may send, and for which the process has a handler.

    Those below SIGRTMIN that have no name are the C library's own.
    """
    if b"SigCgt" not in status:
        return None
    caught = int(status[b"SigCgt"][0], 16)
    named = {int(one): one.name for one in signal.Signals if one < signal.SIGRTMIN}
    first, last = int(signal.SIGRTMIN), int(signal.SIGRTMAX)
    named |= {number: f"SIGRTMIN+{number - first}" for number in range(first, last + 1)}
    return tuple(
        name
        for number, name in named.items()
        if number not in _NOT_SENT and caught >> (number - 1) & 1
    )


def _timers(pid: int, status: dict[bytes, list[bytes]]) -> int | None:
    """POSIX timers; None when nobody can say.

    A kernel built without CONFIG_CHECKPOINT_RESTORE does not list them. But each timer holds one of
    the signals that its user may have queued, so where none is held there is no timer.
    """
    try:
        with open(f"/proc/{pid}/{_TIMERS}", "rb") as file:
            return file.read().count(b"ID:")
    except FileNotFoundError:
        held = status.get(b"SigQ", [b""])[0].partition(b"/")[0]
        return 0 if held == b"0" else None
    except OSError:
        return None


def catches(pid: int, number: int) -> bool | None:
    """True if a process has a handler of its own for a signal; None once it is gone."""
    caught = reading.status(f"/proc/{pid}/status").get(b"SigCgt")
    return None if caught is None else bool(int(caught, 16) >> (number - 1) & 1)


def astray(pid: int) -> tuple[str, ...]:
    """The signals that come by themselves, and reach another thread while the main one is stopped.

    The kernel gives a signal to the main thread if that can take it, and only else to another one
    (`wants_signal` in kernel/signal.c: a thread that is stopped or traced cannot). Programs rely on
    that: a handler of Python runs in the main thread alone, and where another thread has taken the
    signal, nothing wakes the main one from the wait that the handler would end. Signals that a
    person or another program sends now and then are not counted.
    """
    ours = reading.status(f"/proc/{pid}/status")
    if b"SigCgt" not in ours:
        return ()
    free = 0
    for tid in reading.numbers(f"/proc/{pid}/task"):
        blocked = reading.status(f"/proc/{pid}/task/{tid}/status").get(b"SigBlk")
        if tid != pid and blocked is not None:
            free |= ~int(blocked, 16)  # who blocks a signal does not take it in another's place
    taken = int(ours[b"SigCgt"], 16) & free
    return tuple(
        signal.Signals(number).name if number < signal.SIGRTMIN else f"signal {number}"
        for number in sorted(_by_themselves(pid))
        if taken >> (number - 1) & 1
    )


def _by_themselves(pid: int) -> set[int]:
    numbers = {int(one) for one in _BY_THEMSELVES}
    numbers |= set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
    for line in reading.read(f"/proc/{pid}/timers").splitlines():
        if line.startswith(b"signal:"):
            numbers.add(int(line.split()[1].partition(b"/")[0]))
    return numbers - _C_LIBRARY
