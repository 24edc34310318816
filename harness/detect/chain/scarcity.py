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
    moved = facts.motion(node.pid)
    rate = moved.rate(moved.major)
    if rate >= facts.policy.thrashing and (scarce := facts.scarce(node.pid)):
        detail = (
            f"waits for memory: {units.count(rate)} pages a second come back from the disk, and "
        )
        return End(kind=Ends.MEMORY, detail=detail + scarce)
    if facts.category(node) is Category.MEMORY and not facts.busy(node):
        return End(kind=Ends.MEMORY, detail="waits for memory")
    return None
