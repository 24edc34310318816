"""The wait of one thread, and the threads that work for it: one edge of the chain.

The table of docs/internals/wait-chains.md, row by row. The kernel's words come first (state, system
call, kernel function), for they are certain. Stacks add what the kernel does not know: whose turn a
lock without an owner is, which thread is an idle worker, which line of the user's code waits.
"""

from __future__ import annotations

from harness.detect.activity import Pace
from harness.detect.chain import (
    children,
    clocks,
    files,
    gpus,
    handing,
    helpers,
    locks,
    open_files,
    scarcity,
)  # fmt: skip
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import End, Ends, Node, Wait
from harness.model import Thread
from harness.stacks.wait_rules import SIGNALED, Category
from harness.text import units

_SLEEPS = frozenset(("nanosleep", "clock_nanosleep", "restart_syscall"))
_CHILDREN = frozenset(("wait4", "waitid"))
_FUTEXES = frozenset(("futex", "futex_wait", "futex_waitv"))
_SIGNALS = frozenset(("pause", "rt_sigsuspend", "rt_sigtimedwait"))
_MESSAGES = frozenset(("msgsnd", "msgrcv", "mq_timedsend", "mq_timedreceive"))
_SEMAPHORES = frozenset(("semop", "semtimedop"))
FROZEN = frozenset(("__refrigerator", "get_signal", "do_signal_stop", "ptrace_stop"))
"""Kernel functions of a thread that is held, whatever system call it seems to wait in."""
_VFORK = "kernel_clone"


def wait_of(node: Node, facts: Facts) -> Wait:
    """Say what a thread waits for. It ends the chain itself where it works."""
    thread = facts.thread(node)
    if thread is None:
        return _ended(node, facts)
    if thread.state in "Tt":
        return _stopped(thread)
    if thread.state in "ZX":
        return _only(End(kind=Ends.DEAD, detail="has ended"), "ended")
    if thread.wchan in FROZEN:
        return _only(End(kind=Ends.STOPPED, detail="is frozen with its container"), "stopped")
    starved = scarcity.end(node, thread, facts)
    if starved is not None:
        return _only(starved, "memory")
    fails = children.failing(node, facts)
    if fails is not None:
        return _only(fails, "ended")
    if facts.serves(node):
        site = facts.site(node)
        told = site.description if site else "serves the driver of the GPU"
        return _only(End(kind=Ends.IDLE, detail=told), "idle")
    pace = facts.pace(node)
    shared = gpus.shared(node, facts)
    if shared is not None:
        return shared
    if thread.state == "R" or facts.busy(node):
        return _running(node, thread, pace, facts)
    if facts.idle(node):
        given = handing.given(node, thread, pace, facts)
        return given or _only(End(kind=Ends.IDLE, detail="has nothing to do"), "idle")
    return _waiting(node, thread, pace, facts)


def _only(end: End, code: str) -> Wait:
    return Wait(code=code, detail=end.detail, ends=(end,))


def _ended(node: Node, facts: Facts) -> Wait:
    what = "has ended" if node.pid in facts.processes else "is gone"
    return _only(End(kind=Ends.DEAD, detail=what), "ended")


def _stopped(thread: Thread) -> Wait:
    if thread.state == "T":
        end = End(kind=Ends.STOPPED, detail="is stopped by a signal, or frozen with its container")
    else:
        end = End(kind=Ends.TRACED, detail="is held by a debugger")
    return _only(end, end.kind.value)


def _running(node: Node, thread: Thread, pace: Pace | None, facts: Facts) -> Wait:
    """It uses the CPU: work, unless it spins for its peers, waits for the GIL, or only polls."""
    category = facts.category(node)
    at_gpu = gpus.waits(node, facts)
    if at_gpu is not None and at_gpu.ends[0].kind is Ends.GPU_WORKS:
        return at_gpu  # a driver may let its host spin
    share = pace.cpu if pace else 0.0
    uses = f"uses {units.percent(share)} of a core" if share else "runs"
    if category is Category.COLLECTIVE or (category is Category.IDLE and share):
        if (given := handing.given(node, thread, pace, facts)) is not None:
            return given
        site = facts.site(node)
        detail = site.description if site and category is Category.COLLECTIVE else uses
        kind = Ends.PEERS if category is Category.COLLECTIVE else Ends.IDLE
        return _only(End(kind=kind, detail=f"{detail}, and spins"), "collective")
    if category is Category.GIL and not locks.holds_gil(node, facts):
        wait = locks.gil(node, facts)
        # Where nobody is seen to hold it, those who run so much have it again and again themselves.
        if wait.known or locks.in_turn(node, facts) < facts.policy.poll_cpu_share:
            return wait
    if _polls(node, thread, pace, facts):
        return handing.given(node, thread, pace, facts) or _polling(node, thread, facts)
    if facts.observed.spins.get(node.tid):
        return _spinning(node, uses, facts)
    # One more capture may show that it stays where it is.
    return _only(End(kind=Ends.WORKS, detail=uses, sure=False), "run")


def _spinning(node: Node, uses: str, facts: Facts) -> Wait:
    """It stays in one place. Who only waits for another thread lives as that one does."""
    detail = f"{uses} and stays in one place: {facts.observed.spins[node.tid]}"
    left = facts.observed.may_work.get(node.tid)
    spins = End(kind=Ends.SPINS, detail=detail, sure=False, believed_s=left)
    if not facts.only_waits(node):
        return Wait(code="spin", detail=detail, ends=(spins,))
    on, may = helpers.helpers(node, facts), helpers.in_tree(node, facts)
    return Wait(code="spin", detail=detail, on=on, may=may, known=not on, ends=(spins,))


def _polls(node: Node, thread: Thread, pace: Pace | None, facts: Facts) -> bool:
    """True if a thread wakes by its own clock, again and again, and does little else."""
    if pace is None or pace.wanted >= facts.policy.poll_cpu_share:
        return False
    again = facts.observed.rearmed.get(node.tid, 0) >= facts.policy.rearmed
    # What it has armed before it came to wait without a clock is over.
    if again and (thread.wakes_in is not None or pace.wakes):
        return True
    # Where waits are not shown, its stack says that it waits, and its time that it has waked.
    if again and not facts.observed.shows_waits:
        locks = (Category.LOCK, Category.QUEUE) if facts.is_main(node) else ()
        return facts.category(node) in (Category.SLEEP, *locks) or open_files.polls(node, facts)
    timed = thread.wakes_in is not None or facts.category(node) is Category.SLEEP
    # Who is woken in a futex without a timeout, again and again, looks as well.
    looks = timed or facts.call(thread) in _FUTEXES
    # A thread that has lost its core to others, and not waited, was switched as well.
    waked = (pace.switches if pace.sleeps is None else pace.sleeps) or 0
    if not looks or waked < facts.policy.rearmed:
        return False
    # It has waked while it did something else, and has one long wait since then. Nobody ends a
    # sleep, and another wait may be ended again and again.
    every = facts.motion(node.pid).seconds / waked
    long = thread.wakes_in is not None and thread.wakes_in > facts.policy.early_ring * every
    return not (long and (facts.call(thread) in _SLEEPS or _stands(node, facts)))


def _stands(node: Node, facts: Facts) -> bool:
    """True if a thread did not wake in the last window."""
    more = [look.more.get(node.pid) for look in facts.observed.windows[-1]]
    counts = {None if one is None else one.sleeps.get(node.tid) for one in more}
    return len(counts) == 1 and None not in counts


def _polling(node: Node, thread: Thread, facts: Facts) -> Wait:
    """A clock that is armed anew: it looks for something, which others may bring about."""
    seconds = thread.wakes_in
    period = _period(node, seconds, facts)
    every = f" every {units.duration(period)}" if period and period >= 0.001 else ""
    poll = End(kind=Ends.POLLS, detail=f"looks for something again and again{every}", sure=False)
    inner = _blocked(node, thread, facts)
    # Peers that wake it without a clock of its own do go on.
    over = (Ends.CLOCK,) if seconds is not None else (Ends.CLOCK, Ends.PEERS)
    return Wait(
        code="poll",
        detail=poll.detail,
        on=helpers.helpers(node, facts, inner.on),
        known=False,
        may=helpers.in_tree(node, facts),
        ends=(poll, *(end for end in inner.ends if end.kind not in over)),
    )


def _period(node: Node, left: float | None, facts: Facts) -> float | None:
    """The time between two waits of a clock: as they were seen, else what is left of this one."""
    did = facts.observed.doings.get(node.tid)
    if left is None or did is None or did.wakes < 2:
        return left
    if did.armed is None or did.wakes > facts.policy.looks_often * did.seconds:
        return did.seconds / did.wakes
    # The tools that take stacks wake it too, some times in each inspection, and arm no clock.
    return did.seconds / did.armed if did.armed > 1 else left


def _waiting(node: Node, thread: Thread, pace: Pace | None, facts: Facts) -> Wait:
    if (given := handing.given(node, thread, pace, facts)) is not None:
        return given
    if _polls(node, thread, pace, facts) and facts.category(node) is not Category.GIL:
        return _polling(node, thread, facts)
    wait = helpers.interrupted(_blocked(node, thread, facts), node, facts)
    return clocks.with_clock(wait, node, thread, facts)


def _blocked(node: Node, thread: Thread, facts: Facts) -> Wait:
    """The wait itself, its own timeout left out."""
    if not facts.observed.shows_waits:
        return _by_stack(node, thread, facts)
    call, category = facts.call(thread), facts.category(node)
    if category is Category.GIL and not locks.holds_gil(node, facts):
        return locks.gil(node, facts)
    if thread.wchan == _VFORK:
        return children.awaited(node, "waits for a child that it starts", facts)
    if call in _CHILDREN or (not call and category is Category.CHILD):
        return children.awaited(node, "waits for a child process", facts, thread)
    if call in _SLEEPS or (call in ("select", "pselect6") and thread.args[:1] == (0,)):
        return _sleep(thread, facts)
    if call in _FUTEXES:
        return locks.futex_wait(node, thread, call, facts)
    if call in _SIGNALS:
        if facts.children(node.pid):
            # As timeout(1) and init programs wait: the end of a child is a signal to them.
            return children.awaited(node, "waits for a child process", facts)
        return helpers.for_a_signal(node, call, facts)
    if call in _MESSAGES or call in _SEMAPHORES:
        what = "a message queue" if call in _MESSAGES else "a semaphore that processes share"
        return helpers.from_outside(node, f"waits for {what}", "ipc", facts)
    wait = gpus.waits(node, facts) or files.file_wait(node, thread, call, facts)
    if wait is not None:
        return wait
    if thread.syscall is None and call:
        detail = "waits for a file, pipe or socket (which one cannot be read)"
        return _only(End(kind=Ends.OUTSIDE, detail=detail, sure=False), "file")
    if not call and category is Category.SLEEP:
        return _sleep(thread, facts)
    if thread.syscall is None and category in (Category.LOCK, Category.QUEUE):
        return locks.ownerless(node, facts)
    if thread.state == "D":
        return _only(End(kind=Ends.FILE_SYSTEM, detail="waits in the kernel for a disk"), "disk")
    site = facts.site(node)
    detail = site.description if site else "waits"
    named = f" in {call}" if call else ""
    unknown = End(kind=Ends.UNKNOWN, detail=f"{detail}{named}", sure=False)
    return Wait(
        code=call or "unknown", detail=unknown.detail, on=helpers.helpers(node, facts), known=False,
        ends=(unknown,),
    )  # fmt: skip


def _by_stack(node: Node, thread: Thread, facts: Facts) -> Wait:
    """The wait where no system call is shown. What no stack shows is not doubted for it."""
    stack, site = facts.stack(node), facts.site(node)
    if stack is None or site is None:
        return _only(End(kind=Ends.UNSEEN, detail="waits, and no stack shows for what"), "unseen")
    if facts.motion(node.pid).hidden >= facts.policy.poll_cpu_share:
        hidden = "waits beside a thread that uses the CPU and is not shown"
        return _only(End(kind=Ends.UNSEEN, detail=hidden), "unseen")
    if facts.in_places(node) > 1:
        goes = End(kind=Ends.WORKS, detail="goes from place to place", sure=False)
        return _only(goes, "run")
    if (owned := locks.owned(node, facts)) is not None:
        return owned
    category = site.category
    signaled = site.description == SIGNALED and facts.children(node.pid)
    if category is Category.CHILD or signaled:  # the end of a child is a signal
        return children.awaited(node, "waits for a child process", facts)
    if category is Category.SLEEP:
        return _sleep(thread, facts)
    if (at_gpu := gpus.waits(node, facts)) is not None:
        return at_gpu
    if category is Category.IO:
        opened = open_files.file_wait(node, thread, stack, facts)
        if opened is not None:
            return opened
    if category in (Category.LOCK, Category.QUEUE, Category.COLLECTIVE, Category.STREAM_EVALUATION):
        return locks.ownerless(node, facts)
    # Frames of Python do not show what they call, and a call may have a name of tomorrow.
    kind = _ENDS_BY_STACK.get(category, Ends.UNSEEN)
    end = End(kind=kind, detail=site.description, sure=False)
    return Wait(
        code=category.value,
        detail=end.detail,
        on=helpers.helpers(node, facts),
        known=False,
        ends=(end,),
    )


_ENDS_BY_STACK = {Category.IO: Ends.OUTSIDE, Category.JIT: Ends.PROGRAM}


def _sleep(thread: Thread, facts: Facts) -> Wait:
    """A clock is believed, unless it rings in hours or days."""
    left = thread.wakes_in
    if left is not None and left > facts.policy.believed_s:
        end = End(kind=Ends.UNKNOWN, detail=f"sleeps for {units.duration(left)}", left_s=left)
    else:
        end = End(kind=Ends.CLOCK, detail="sleeps", left_s=left)
    return _only(end, "sleep")
