"""The wait for children, and the workers of a pool that end as soon as they are started. Pure.

An initializer that raises, or a module that cannot be loaded, ends each worker before its first
task. `multiprocessing.Pool` starts another one, and whoever waits for a result waits for ever.
"""

from __future__ import annotations

import os
from functools import partial

from harness.detect import deadlock
from harness.detect.activity import has_ended
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import End, Ends, Node, Wait
from harness.model import Process, Thread
from harness.text.exits import ended

_STARTS, _TAKES = "_handle_workers", "_handle_results"
"""The threads of a pool that start its workers, and that take what these give."""


def awaited(node: Node, detail: str, facts: Facts, thread: Thread | None = None) -> Wait:
    """The wait for a child: any, or the one that the call names."""
    read = thread is not None and len(thread.args) > 1
    only = deadlock.awaited(facts.call(thread), thread.args) if thread and read else None
    children = [pid for pid in facts.children(node.pid) if only in (None, pid)]
    on = tuple(n for pid in children for n in facts.candidates(pid))
    if not on and not facts.observed.shows_waits:
        # Who has no child does not wait for one: it is another user's, or its threads are not told.
        end = End(kind=Ends.UNSEEN, detail=f"{detail}, which cannot be looked into")
        return Wait(code="child", detail=end.detail, ends=(end,))
    if children:
        names = " and ".join(facts.observed.name(pid) for pid in children[:2])
        more = f" and {len(children) - 2} more" if len(children) > 2 else ""
        return Wait(code="child", detail=f"{detail}: {names}{more}", on=on)
    end = End(kind=Ends.UNKNOWN, detail=f"{detail}, which is not seen", sure=False)
    return Wait(code="child", detail=end.detail, ends=(end,))


def failing(node: Node, facts: Facts) -> End | None:
    """The end of a worker that is yet to fail, and of the threads of its pool that start workers
    and take what these give; None of all others."""
    process = facts.processes.get(node.pid)
    for pool in (node.pid, process.ppid) if process is not None else ():
        if node in facts.group("failing", pool, partial(_failing, pool, facts)):
            who = "has workers" if pool == node.pid else "is one of a pool's workers"
            told = f"{who} that end one after the other, and give nothing{_last(pool, facts)}"
            return End(kind=Ends.DEAD, detail=told, sure=False)
    return None


def _failing(pool: int, facts: Facts) -> tuple[Node, ...]:
    """The pool's own threads, and the workers that came since the first look.

    None where a worker lasts, or where one has given something: it works. Nor where who takes what
    they give does something else, as in a callback of the user's.
    """
    starts, takes = (_threads(pool, function, facts) for function in (_STARTS, _TAKES))
    paces = [facts.pace(node) for node in takes]
    if not starts or not paces or any(pace is None or pace.sleeps != 0 for pace in paces):
        return ()
    if not all(_reads(node, facts) for node in takes):
        return ()
    windows = [
        [_children(pool, look.processes) for look in window] for window in facts.observed.windows
    ]
    if any(window[0] & window[-1] for window in windows):
        return ()
    first, last = windows[0][0], windows[-1][-1]
    gone = {pid for window in windows for look in window for pid in look} - first - last
    if len(gone) < facts.policy.restarts:
        return ()
    return (*starts, *takes, *(node for pid in last - first for node in facts.threads(pid)))


def _threads(pool: int, function: str, facts: Facts) -> tuple[Node, ...]:
    return tuple(
        node
        for node in facts.threads(pool)
        if (stack := facts.stack(node)) is not None
        and any(
            (frame.file, frame.function.rpartition(".")[2]) == ("pool.py", function)
            for frame in stack.frames
            if frame.python
        )
    )


def _reads(node: Node, facts: Facts) -> bool:
    stack = facts.stack(node)
    code = [frame for frame in stack.frames if frame.python] if stack is not None else []
    return bool(code) and code[0].file == "connection.py"


def _children(pool: int, processes: tuple[Process, ...]) -> set[int]:
    return {one.pid for one in processes if one.ppid == pool and not has_ended(one)}


def _last(pool: int, facts: Facts) -> str:
    """The end of the last one of which it was seen."""
    looks = [look for window in facts.observed.windows for look in window]
    statuses = [
        status
        for look in reversed(looks)
        for process in look.processes
        if process.ppid == pool
        and (more := look.more.get(process.pid)) is not None
        and (status := more.status) is not None
    ]
    return f": the last one {ended(os.waitstatus_to_exitcode(statuses[0]))}" if statuses else ""
