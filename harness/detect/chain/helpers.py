"""The threads that may help one which waits: those of an executor, or any beside it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from harness.detect.chain.facts import Facts
from harness.detect.chain.groups import together
from harness.detect.chain.links import LOST, End, Ends, Node, Wait
from harness.detect.chain.paced import left_s
from harness.stacks import frame_names
from harness.stacks.wait_rules import Category
from harness.text import late, units

_MOST = 64
"""Processes of a tree of which each may be asked about."""
_WAYS = 1 << 18
"""Ways from a process to a thread, in a tree in which each may lead to each: some seconds' work."""
_OF_EXECUTORS = frozenset(
    (
        ("thread.py", "_worker"),
        ("process.py", "wait_result_broken_or_wakeup"),
        ("process.py", "_queue_management_worker"),  # Python 3.8
    )
)
"""Functions of the threads that end a future: a worker at work, or who waits for the processes."""
_TO_END = frozenset(("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"))
"""Signals by which a process is asked to end."""
OF_SEVERAL = frozenset(
    ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2")
)
"""Calls that wait for the first of several files."""
TAKES_A_SIGNAL = "rt_sigtimedwait"
"""The call that takes signals one by one, as a read of a file of signals does."""
_PRIVATE = late.compile(r"^_*(PyThread_acquire_lock|take_gil|Py(Mutex|ParkingLot|Semaphore)_)")
"""Functions of Python's own locks, of which each release has some."""


def runs_a_pool(node: Node, facts: Facts) -> bool:
    """True if a thread of an executor is at work, or waits for its processes."""
    stack = facts.stack(node)
    return stack is not None and any(
        frame.python and (frame.file, frame.function.rpartition(".")[2]) in _OF_EXECUTORS
        for frame in stack.frames
    )


def workers(node: Node, elsewhere: Sequence[Node], facts: Facts) -> Sequence[Node]:
    """Those of its process, and of the threads `elsewhere`, that end the futures of a pool."""
    every = facts.at_work(node.pid)
    own = facts.group("pool", node.pid, lambda: tuple(n for n in every if runs_a_pool(n, facts)))
    return together(node, own, tuple(n for n in elsewhere if runs_a_pool(n, facts)))


def answering(pid: int, facts: Facts) -> tuple[Node, ...]:
    """The threads of a process that may answer at its end of a pipe or socket, certainly.

    The main thread of the server of a `multiprocessing.Manager` only waits for its end: a thread
    for each client answers, and is at work unless it waits for the next call.
    """
    if not _has(facts.main(pid), "serve_forever", facts):
        return facts.candidates(pid)
    at_calls = tuple(node for node in facts.threads(pid) if _has(node, "serve_client", facts))
    return at_calls or facts.candidates(pid)


def _has(node: Node, function: str, facts: Facts) -> bool:
    """True if a thread is in this function of a manager's server, and waits for no call in it."""
    stack = facts.stack(node)
    frames = [frame for frame in stack.frames if frame.python] if stack is not None else []
    keys = [frame_names.key(frame) if frame.system else "" for frame in frames]
    place = f"managers.py:{function}"
    return place in keys and keys[: keys.index(place)][-1:] != ["connection.py:recv"]


def helpers(node: Node, facts: Facts, first: Sequence[Node] = ()) -> Sequence[Node]:
    """The threads `first`, and those of its process and of its children, which may do what a thread
    waits for."""
    return together(node, first, facts.others(node), children(node, facts))


def children(node: Node, facts: Facts) -> tuple[Node, ...]:
    """The threads of the children of its process that may be at work."""
    return facts.group("children", node.pid, lambda: _below(node.pid, facts))


def _below(pid: int, facts: Facts) -> tuple[Node, ...]:
    return tuple(n for child in facts.children(pid) for n in facts.candidates(child))


def that_may_share(node: Node, facts: Facts) -> tuple[Node, ...]:
    """The threads of the children of its process, if they may share the lock or semaphore that it
    waits for: where waits are not shown, only locks of Python are known to be of one process."""
    if facts.observed.shows_waits or facts.category(node) not in (Category.LOCK, Category.QUEUE):
        return ()
    stack = facts.stack(node)
    private = stack is not None and any(_PRIVATE.match(frame.bare) for frame in stack.frames)
    return () if private else children(node, facts)


def noticed(node: Node, facts: Facts) -> tuple[Node, ...]:
    """The children of its process, if a handler notices their ends, and may then wake a thread."""
    around = facts.surroundings(node.pid)
    return children(node, facts) if around is not None and around.child_handler else ()


def sharing(node: Node, facts: Facts) -> tuple[Node, ...]:
    """The threads of other processes that may have the memory of its process, as those that
    clone() makes with CLONE_VM have: each could wake it."""
    pids = facts.observed.shares if node.pid in facts.observed.shares else ()
    return tuple(n for pid in pids if pid != node.pid for n in facts.candidates(pid))


def interrupted(wait: Wait, node: Node, facts: Facts) -> Wait:
    """`wait`, which a handler of a signal may end, and a timer of its process ends, by a handler or
    with the process, if one is known to ring."""
    if senders := _senders(node, facts):
        wait = msgspec.structs.replace(wait, may=together(node, wait.may, senders))
    rings = facts.observed.rings.get(node.pid)
    if rings is None:
        return _perhaps_by_a_timer(wait, node, facts)
    if rings > facts.policy.beat_believed_s:
        return wait
    told = "a timer of its process rings"
    if rings > facts.policy.alarm_s:
        later = f"{told} in {units.duration(rings)}"
        end = End(kind=Ends.OUTSIDE, detail=later, believed_s=rings, sure=False)
    else:
        end = End(kind=Ends.CLOCK, detail=told, left_s=rings, sure=False)
    return msgspec.structs.replace(wait, ends=(*wait.ends, end))


def _perhaps_by_a_timer(wait: Wait, node: Node, facts: Facts) -> Wait:
    """`wait`, for the first of several files, which is lost unless a timer sends a signal: its
    handler writes to one of them. No thread in such a wait is asked for its timers."""
    thread, around = facts.thread(node), facts.surroundings(node.pid)
    if thread is None or around is None or not (around.alarm or around.timers):
        return wait
    if facts.call(thread) not in OF_SEVERAL or any(end.kind not in LOST for end in wait.ends):
        return wait
    detail, left = "a timer of its process may send a signal", left_s((node,), facts)
    end = End(kind=Ends.OUTSIDE, detail=detail, believed_s=left, sure=False)
    return msgspec.structs.replace(wait, ends=(*wait.ends, end))


def handled(node: Node, facts: Facts) -> tuple[str, ...]:
    """The signals, no requests to end, that others may send and of which its process has a handler
    of its own: that may release a lock."""
    around = facts.surroundings(node.pid)
    names = around.handlers if around is not None else None
    return tuple(name for name in names or () if name not in _TO_END)


def _senders(node: Node, facts: Facts) -> Sequence[Node]:
    """The threads of other processes by whom a handler of its own may be called: of children that
    end, and of any process of the tree that may soon send a signal which is no request to end."""
    every = in_tree(node, facts) if handled(node, facts) else ()
    soon = facts.group("soon", node.pid, lambda: tuple(n for n in every if _is_soon(n, facts)))
    return together(node, noticed(node, facts), soon)


def _is_soon(node: Node, facts: Facts) -> bool:
    """True if a thread works, or wakes within a minute: a later clock seldom sends a signal."""
    thread = facts.thread(node)
    left = None if thread is None else thread.wakes_in
    return facts.busy(node) or (left is not None and left <= facts.policy.alarm_s)


def from_outside(
    node: Node, detail: str, code: str, facts: Facts, kind: Ends = Ends.OUTSIDE
) -> Wait:
    """The wait for an event of which nobody can say who brings it about: it may come from outside,
    from a thread beside it or from another process of the tree."""
    end = End(kind=kind, detail=detail)
    on = together(node, facts.others(node), in_tree(node, facts))
    return Wait(code=code, detail=detail, on=on, known=False, ends=(end,))


def in_tree(node: Node, facts: Facts) -> tuple[Node, ...]:
    """The threads of other processes of the tree that may be at work, children first: a sibling
    may connect, write or send as well as a child. Of a large tree only the children's."""
    return facts.group("tree", node.pid, lambda: _in_tree(node.pid, facts))


def _in_tree(own: int, facts: Facts) -> tuple[Node, ...]:
    below = _below(own, facts)
    number = len(facts.processes)
    if number > _MOST or number * len(facts.by_tid) > _WAYS:
        return below
    # Of a job, each rank is judged by itself, and the job by all of them.
    left_out = {own, *facts.apart}
    launchers = frozenset(_launchers(own, facts) if facts.apart else ())
    every = (
        node
        for pid in facts.processes if pid not in left_out
        for node in facts.candidates(pid) if pid not in launchers or _sleeps(node, facts)
    )  # fmt: skip
    return tuple(dict.fromkeys((*below, *every)))


def _launchers(rank: int, facts: Facts) -> Iterator[int]:
    """The processes that have started a rank. They work for all ranks, and relay what these print:
    that one is at work, or looks for it, says nothing of a single rank."""
    process = facts.processes.get(rank)
    while process is not None and (process := facts.processes.get(process.ppid)) is not None:
        yield process.pid


def _sleeps(node: Node, facts: Facts) -> bool:
    """True if it waits for a clock that it does not arm again and again, as who relays does."""
    thread = facts.thread(node)
    again = facts.observed.rearmed.get(node.tid, 0) >= facts.policy.rearmed
    return thread is not None and thread.wakes_in is not None and not again


def for_a_signal(node: Node, call: str, facts: Facts) -> Wait:
    """The wait for a signal. One that a timer sends comes by itself, and nobody sees when."""
    around = facts.surroundings(node.pid)
    # Who takes signals one by one needs no handler.
    takes = around is not None and around.alarm_blocked and call == TAKES_A_SIGNAL
    if around is None or not (around.alarm or around.timers or takes):
        return from_outside(node, "waits for a signal", "signal", facts)
    detail = "waits for a signal, which a timer may send"
    left = left_s((node,), facts)
    end = End(kind=Ends.OUTSIDE, detail=detail, believed_s=left)
    return Wait(code="signal", detail=detail, on=helpers(node, facts), known=False, ends=(end,))
