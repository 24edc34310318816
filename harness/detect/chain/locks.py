"""The wait for a lock: of Python, a futex of the kernel, or one that nobody owns. Pure."""

from __future__ import annotations

import msgspec

from harness.detect import deadlock
from harness.detect.chain import gpus, helpers, turnstiles
from harness.detect.chain.facts import Facts
from harness.detect.chain.groups import together
from harness.detect.chain.links import End, Ends, Node, Wait
from harness.model import Thread
from harness.stacks.wait_rules import Category

_SAY_NOTHING = frozenset((Category.UNKNOWN, Category.RUNNING, Category.IDLE))
"""Wait sites that do not say what a thread in a futex waits for."""
_SHARED = "waits for a semaphore or lock that processes share"


def holds_gil(node: Node, facts: Facts) -> bool:
    """True if its stack says that it has the lock of the interpreter."""
    site = facts.site(node)
    return site is not None and site.holds_gil


def gil(node: Node, facts: Facts) -> Wait:
    """The wait for the lock of the interpreter, which one thread of its process holds."""
    every = facts.threads(node.pid)
    have = facts.group("gil", node.pid, lambda: tuple(n for n in every if holds_gil(n, facts)))
    holders = tuple(one for one in have if one != node)
    told = facts.group("told", node.pid, lambda: tuple(n for n in every if facts.stack(n)))
    return Wait(
        code="gil",
        detail="waits for Python's global interpreter lock",
        on=holders or together(node, told),
        known=bool(holders),
    )


def owned(node: Node, facts: Facts) -> Wait | None:
    """The wait for a lock whose owner is told where no system call is shown: by the kernel, or by
    the stacks."""
    told = turnstiles.owner_wait(node, facts)
    if told is None and facts.category(node) is Category.GIL and not holds_gil(node, facts):
        return gil(node, facts)
    return told


def in_turn(node: Node, facts: Facts) -> float:
    """The share of a core that the threads of its process want together which it takes turns with
    in the interpreter. Who only asks for its turn every 5 ms does not count."""
    paces = [
        facts.pace(one)
        for one in (node, *facts.others(node))
        if facts.category(one) is Category.GIL and facts.busy(one)
    ]
    return sum(pace.wanted for pace in paces if pace is not None)


def futex_wait(node: Node, thread: Thread, call: str, facts: Facts) -> Wait:
    """The wait in a futex, for its owner where it has one."""
    futex = facts.futex(node)
    if futex is None:
        return gpus.waits(node, facts) or _without_owner(node, thread, call, facts)
    if futex.owner is not None:
        owner = facts.by_tid.get(futex.owner)
        if futex.kind == "join":
            what = "to end"
            code = "join"
        else:
            what, code = "to release a lock", "mutex"
        if owner is None:
            end = End(kind=Ends.DEAD, detail="whose owner has ended")
            return Wait(code=code, detail=f"waits for thread {futex.owner} {what}", ends=(end,))
        who = "itself" if owner == node else facts.name(owner)
        return Wait(code=code, detail=f"waits for {who} {what}", on=(owner,))
    if futex.kind == "shared" and len(futex.sharers) > 1:
        on = tuple(
            n for pid in futex.sharers if pid != node.pid and pid in facts.processes
            for n in facts.candidates(pid)
        )  # fmt: skip
        strangers = [pid for pid in futex.sharers if pid not in facts.processes]
        ends = tuple(
            End(kind=Ends.PROGRAM, detail=f"shares it with {facts.observed.name(pid)}")
            for pid in strangers[:2]
        )
        own = facts.others(node)
        inside = [facts.at_work(pid) for pid in futex.sharers if pid in facts.processes]
        return Wait(
            code="shared_lock",
            detail=_SHARED,
            on=together(node, on, own),
            known=False,
            may=together(node, *inside),
            ends=ends,
        )
    return gpus.waits(node, facts) or _without_owner(node, thread, call, facts)


def _without_owner(node: Node, thread: Thread, call: str, facts: Facts) -> Wait:
    """A futex of which nobody is the owner. Others may wake it where it may be shared."""
    wait, futex = ownerless(node, facts), facts.futex(node)
    if thread.syscall is None:
        told = "and may have a timeout, which cannot be read"
    elif deadlock.says_private(call, thread.args) or (futex is not None and deadlock.is_own(futex)):
        return wait
    else:
        told = "and other processes may share the futex"
    end = End(kind=Ends.UNKNOWN, detail=told, sure=False)
    if futex is not None and futex.kind == "shared" and _alone(wait):
        told = "and only another program that maps this memory could end that wait"
        end = End(kind=Ends.PROGRAM, detail=told, seen=False, sure=False)
    ends = (*(one for one in wait.ends if one.kind is not Ends.DEAD), end)
    return msgspec.structs.replace(wait, known=False, ends=ends)


def _alone(wait: Wait) -> bool:
    """True if nobody of the tree is there who could end it."""
    return any(end.kind is Ends.DEAD for end in wait.ends)


def ownerless(node: Node, facts: Facts) -> Wait:
    """The wait for a lock, queue, condition or event of which nobody is the owner: any other thread
    may help."""
    site = facts.site(node)
    elsewhere = (*helpers.sharing(node, facts), *helpers.that_may_share(node, facts))
    on = together(node, facts.at_work(node.pid), elsewhere)
    seen = site is not None and site.category not in _SAY_NOTHING
    futex = facts.futex(node)
    detail = site.description if site and seen else "waits for another thread"
    if futex is not None and futex.kind == "shared":
        detail = _SHARED
    code = site.category.value if site and seen else "futex"
    future = code == Category.QUEUE.value and detail.endswith("a future")
    if future and (workers := helpers.workers(node, elsewhere, facts)):
        return Wait(code="future", detail=detail, on=workers)
    if code == Category.COLLECTIVE.value:
        # The threads that carry its data spin, whatever becomes of the other ranks.
        peers = End(kind=Ends.PEERS, detail=detail)
        return Wait(code=code, detail=detail, on=on, known=False, ends=(peers,))
    if not on and (below := helpers.noticed(node, facts)):
        return Wait(code=code, detail=detail, on=below, known=False)
    if not on:
        only = len(facts.threads(node.pid)) == 1
        told = "and its process has no other thread" if only else "and no other thread has work"
        end = End(kind=Ends.DEAD, detail=told)
        if signals := helpers.handled(node, facts):
            told = f"{told}: only its handler for {signals[0]} could end that wait"
            end = End(kind=Ends.OUTSIDE, detail=told, seen=False)
        return Wait(code=code, detail=detail, known=False, ends=(end,))
    return Wait(code=code, detail=detail, on=on, known=False)
