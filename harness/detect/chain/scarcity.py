"""Waits for memory that the machine, or the control group, does not have. Pure."""

from __future__ import annotations

from harness.detect.chain.facts import Facts
from harness.detect.chain.links import End, Ends, Node
from harness.model import Thread
from harness.stacks.wait_rules import Category
from harness.text import units

_RECLAIM = ("mem_cgroup_oom", "mem_cgroup_handle", "shrink_", "reclaim", "swap_", "throttle_vm")
"""Kernel functions, or parts of their names, in which a thread waits for memory."""


def end(node: Node, thread: Thread, facts: Facts) -> End | None:
    """The end of a thread that waits for memory; None where it does not."""
    wchan = thread.wchan or ""
    if any(word in wchan for word in _RECLAIM):
        return End(kind=Ends.MEMORY, detail="waits for memory, which is reclaimed")
    moved, more = facts.motion(node.pid), facts.observed.last.more.get(node.pid)
    swapped = (more.swap if more else None) or 0
    available = facts.observed.last.machine.available
    policy = facts.policy
    scarce = swapped > policy.swapped or (available is not None and available < policy.scarce)
    rate = moved.rate(moved.major)
    if scarce and rate >= policy.thrashing:
        detail = (
            f"waits for memory: {units.count(rate)} pages a second come back from the disk, and "
            f"{units.size(swapped)} are swapped out"
        )
        return End(kind=Ends.MEMORY, detail=detail)
    if facts.category(node) is Category.MEMORY and not facts.busy(node):
        return End(kind=Ends.MEMORY, detail="waits for memory")
    return None
