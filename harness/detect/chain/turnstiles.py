"""Waits of which the kernel itself says who is waited for, and the cycles that they make. Pure.

On macOS a lock that has an owner, a thread that is joined and a queue of work have a turnstile. XNU
follows it to the thread at its end (`osfmk/kern/turnstile.c:3281`). Only root is told. Such a wait
has no clock, so a cycle of them is a deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.detect.chain.facts import Facts
from harness.detect.chain.links import ChainLink, End, Ends, Node, Wait
from harness.detect.observation import Window
from harness.stacks.parse import Owner
from harness.stacks.wait_rules import ENDS

_CAPTURES = 2
"""Captures that must agree."""


def owner_wait(node: Node, facts: Facts) -> Wait | None:
    """The wait of a thread for the one that the kernel names; None where it names none."""
    owner = _owner(node, facts, -1)
    if owner is None:
        return None
    site = facts.site(node)
    joins = site is not None and site.description == ENDS
    what, code = ("to end", "join") if joins else ("to release a lock", "mutex")
    if owner.tid is None:
        return _for_process(owner, facts)
    known = facts.by_tid.get(owner.tid)
    if known is not None:
        if known == node:
            through = ", through the locks of others" if owner.deadlock else f" {what}"
            return Wait(code=code, detail=f"waits for itself{through}", on=(known,))
        return Wait(code=code, detail=f"waits for {facts.name(known)} {what}", on=(known,))
    if owner.pid in facts.processes:
        end = End(kind=Ends.UNKNOWN, detail="which is not seen", sure=False)
        return Wait(code=code, detail=f"waits for thread {owner.tid} {what}", ends=(end,))
    return _for_process(owner, facts)


def _for_process(owner: Owner, facts: Facts) -> Wait:
    name = facts.observed.name(owner.pid)
    if owner.pid in facts.processes:
        on = facts.candidates(owner.pid)
        return Wait(code="process", detail=f"waits for {name}", on=on, known=False)
    end = End(kind=Ends.PROGRAM, detail=f"waits for {name}, another program")
    return Wait(code="process", detail=end.detail, ends=(end,))


def against(links: Sequence[ChainLink], facts: Facts) -> str:
    """The reason why the kernel's word does not prove the cycle of `links`; or nothing."""
    for link in links:
        node = Node(link.pid, link.tid)
        owners = {_owner(node, facts, -number) for number in range(1, _CAPTURES + 1)}
        if None in owners or len(owners) > 1:
            return f"the kernel does not say, at each capture, whom {link.name} waits for"
        (owner,) = owners
        if owner is None or owner.tid is None or owner.tid not in facts.by_tid:
            return f"the thread that {link.name} waits for is not seen"
        if any(_ran(window, node) for window in facts.observed.windows):
            return f"{link.name} ran between the looks"
    return "" if links else "it has no links"


def _owner(node: Node, facts: Facts, capture: int) -> Owner | None:
    stack = facts.stack(node, capture)
    return None if stack is None else stack.owner


def _ran(window: Window, node: Node) -> bool:
    marks = {
        (thread.state == "R", thread.cpu_s)
        for look in window
        for process in look.processes
        if process.pid == node.pid
        for thread in process.threads
        if thread.tid == node.tid
    }
    return len(marks) != 1 or next(iter(marks))[0]
