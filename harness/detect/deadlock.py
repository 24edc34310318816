"""Conditions of a proof of deadlock on Linux, thread by thread and process by process. Pure.

`harness.detect.chain.closure` proves; here stands what each thread and process must fulfill: it
sits in an untimed wait that only known threads can end; it has not used the CPU and has not been
switched in or out over several looks; nothing is armed that would deliver a signal or an event by
itself. docs/reference/verdicts/deadlock.md states each condition with its reason.

Anything else forbids the claim and says why, by a stable code. What could not be read forbids it
too: unknown is not gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from harness import syscalls
from harness.detect.chain.links import Node
from harness.detect.policy import STANDARD
from harness.model import Process, Thread
from harness.model.world import Futex, Surroundings, World
from harness.text.units import duration, plural

TOO_SOON = "too_soon"
"""Code of the reason that there were fewer."""

_TOLD = 3
_FUTEX_WAIT, _FUTEX_WAIT_BITSET = 0, 9
_COMMAND, _PRIVATE = 0x7F, 0x80
_WNOHANG = 1
_P_PID = 1
_TIMED = frozenset(("nanosleep", "clock_nanosleep", "restart_syscall", "semtimedop"))
_SIGNALS = frozenset(("pause", "rt_sigsuspend", "rt_sigtimedwait"))
_POLLS = frozenset(
    ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2")
)


class Reason(msgspec.Struct, frozen=True):
    """The reason why the claim cannot be made."""

    code: str
    text: str
    pid: int | None = None
    """The process to be asked, where the answer to one question could take the reason away."""


def describe(reasons: Sequence[Reason]) -> str:
    """Say the first reasons, and how many there are beside them."""
    text = "; ".join(reason.text for reason in reasons[:_TOLD])
    more = len(reasons) - _TOLD
    return f"{text}; and {plural(more, 'more reason')}" if more > 0 else text


def still(looks: Sequence[World], nodes: Collection[Node]) -> Iterator[Reason]:
    """Reasons against the claim that none of the threads `nodes` has moved between the looks."""
    if len(looks) < STANDARD.proof_looks or looks[-1].t - looks[0].t < STANDARD.proof_s:
        yield Reason(
            TOO_SOON, f"fewer than {STANDARD.proof_looks} looks over {duration(STANDARD.proof_s)}"
        )
    tids, pids = {node.tid for node in nodes}, {node.pid for node in nodes}
    marks = [_mark(look, tids, pids) for look in looks]
    if any(mark != marks[0] for mark in marks[1:]):
        yield Reason("moved", "a thread ran, came, went or changed its wait between the looks")


def _mark(
    look: World, tids: Collection[int], pids: Collection[int]
) -> frozenset[tuple[object, ...]]:
    """All that may not change from look to look."""
    return frozenset(
        (process.pid, process.state, thread.tid, thread.state, thread.syscall, thread.args,
         thread.cpu_s, thread.switches)
        for process in look.processes
        if process.pid in pids
        for thread in process.threads
        if thread.tid in tids
    )  # fmt: skip


def unasked(reasons: Sequence[Reason]) -> frozenset[int]:
    """The processes to be asked for their interval timers, where nothing else stands against it
    but that it is too soon."""
    pids = [reason.pid for reason in reasons if reason.code != TOO_SOON]
    return frozenset(pid for pid in pids if pid is not None and None not in pids)


def alone(process: Process, around: Surroundings | None, waited: bool) -> Iterator[Reason]:
    """Against what could wake the process from outside its threads.

    `waited` says whether the end of the process would wake somebody.
    """
    who = f"process {process.pid}"
    read = {} if around is None else msgspec.structs.asdict(around) | {"alarm": False}
    if around is None or None in read.values():
        yield Reason("unreadable", f"not everything about {who} could be read")
        return
    if around.tracer:
        yield Reason("traced", f"{who} is traced by process {around.tracer}")
    if around.pending:
        yield Reason("signal_pending", f"a signal is on its way to {who}")
    if around.timers:
        yield Reason("timer", f"{who} has {around.timers} POSIX timers")
    if around.alarm:
        yield Reason("timer", f"an interval timer of {who} may be armed")
    if around.alarm is None and waited:
        yield Reason("timer_unknown", f"an interval timer may end {who}", process.pid)
    if around.devices:
        yield Reason("device", f"{who} has {around.devices[0]} open, which works on its own")
    if around.asynchronous:
        yield Reason("async_io", f"{who} has {around.asynchronous[0]}")
    if around.handlers:
        yield Reason("signal_handler", f"{who} has a handler for {around.handlers[0]}")


STATES = {
    "R": ("running", "is running or wants to"),
    "D": ("uninterruptible", "waits in the kernel, as for a disk"),
    "T": ("stopped", "is stopped by a signal, or frozen with its control group"),
    "t": ("traced", "is held by a tracer"),
}


def against(process: Process, thread: Thread, world: World, arch: str) -> tuple[str, str] | None:
    """Code and words of why this thread may still move; None when only its own kind can wake it."""
    if thread.state in STATES:
        return STATES[thread.state]
    if thread.state != "S":
        return "unknown_wait", f"is in state {thread.state}"
    if thread.syscall is None or thread.switches is None:
        return "unreadable", "cannot be looked into"
    name = syscalls.name(thread.syscall, arch)
    if name in ("futex", "futex_wait", "futex_waitv"):
        return _futex(name, thread.args)
    if name in ("wait4", "waitid"):
        return _child(name, process, thread, world)
    if sleeps(thread.syscall, thread.args, arch):
        return "timed_wait", f"sleeps in {name}, which ends by itself"
    if name in _POLLS:
        return "poll", f"waits in {name} for what comes from outside"
    if name in _SIGNALS:
        return "signal_wait", f"waits in {name} for a signal"
    if name is None:
        return "unknown_wait", f"is blocked in system call {thread.syscall}"
    return "io", f"is blocked in {name}"


def sleeps(number: int, args: tuple[int, ...], arch: str) -> bool:
    """True if a system call ends by itself, whatever its timeout.

    One that selects from no file at all does: Python up to 3.10 sleeps so.
    """
    name = syscalls.name(number, arch)
    return name in _TIMED or (name in ("select", "pselect6") and args[:1] == (0,))


def _futex(name: str, args: tuple[int, ...]) -> tuple[str, str] | None:
    if len(args) < 6:
        return "unreadable", "has a futex wait whose arguments cannot be read"
    if name == "futex_waitv":
        # Whether each of its futexes is private stands in memory that we do not read.
        return "shared_futex", "waits for several futexes, which may be shared"
    if not only_waits(name, args):
        return "unknown_wait", f"is in futex operation {args[1] & _COMMAND}"
    if args[3 if name == "futex" else 4]:
        return "timed_wait", "waits for a futex with a timeout"
    if not says_private(name, args):
        return "shared_futex", "waits for a futex that other processes may share"
    return None


def is_own(futex: Futex) -> bool:
    """True if it lies in memory that its process alone has: also in a program's data, of which the
    kernel makes a copy for it before it waits there."""
    return futex.complete and len(futex.sharers) < 2


def only_waits(name: str, args: tuple[int, ...]) -> bool:
    """True if a call on a futex does nothing but wait for it."""
    return name != "futex" or args[1] & _COMMAND in (_FUTEX_WAIT, _FUTEX_WAIT_BITSET)


def says_private(name: str, args: tuple[int, ...]) -> bool:
    """True if a call says that no other process waits for its futex."""
    place = {"futex": 1, "futex_wait": 3}.get(name)
    return place is not None and len(args) > place and bool(args[place] & _PRIVATE)


def _child(name: str, process: Process, thread: Thread, world: World) -> tuple[str, str] | None:
    """A wait is closed when all children that it may be for are in the tree, alive, and closed.

    That they are closed themselves is checked where their own threads are.
    """
    if len(thread.args) < 4:
        return "unreadable", f"has a {name} whose arguments cannot be read"
    options = thread.args[2] if name == "wait4" else thread.args[3]
    if options & _WNOHANG:
        return "running", f"is in {name} and will not block"
    only = awaited(name, thread.args)
    children = [
        other
        for other in world.processes
        if other.ppid == process.pid and only in (None, other.pid)
    ]
    if not children:
        return "child", f"waits in {name} for a child that is not seen"
    if any(child.state in "ZX" for child in children):
        return "child", f"waits in {name}, and a child has ended"
    return None


def awaited(name: str, args: tuple[int, ...]) -> int | None:
    """The only child that a wait is for; None when it may be for any.

    Which children are in a process group, or behind a file, is not looked up: all of them may be.
    """
    if name == "waitid":
        return _int(args[1]) if _int(args[0]) == _P_PID else None
    pid = _int(args[0])
    return pid if pid > 0 else None


def _int(register: int) -> int:
    """An argument of the type int, of which a register holds more."""
    return (register & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def shown(looks: Sequence[World], arch: str, tids: Collection[int] = ()) -> dict[str, Any]:
    """The proof: the looks, and the call that each thread waits in. Only of `tids`, if given."""
    return {
        "looks": len(looks),
        "span_s": round(looks[-1].t - looks[0].t, 3),
        "threads": [
            {
                "pid": process.pid,
                "tid": thread.tid,
                "name": thread.name,
                "waits_in": _call(thread, arch),
                "cpu_s": thread.cpu_s,
                "switches": thread.switches,
            }
            for process in looks[-1].processes
            for thread in process.threads
            if process.state not in "ZX" and (not tids or thread.tid in tids)
        ][:64],
    }


def _call(thread: Thread, arch: str) -> str:
    """`futex 0x7f0012345678`, `wait4 of process 4711`, `wait4 of any child`."""
    name = thread.syscall is not None and syscalls.name(thread.syscall, arch)
    if not name or not thread.args:
        return name or "unknown"
    if name not in ("wait4", "waitid"):
        return f"{name} {thread.args[0]:#x}"
    pid = awaited(name, thread.args)
    return f"{name} of {'any child' if pid is None else f'process {pid}'}"
