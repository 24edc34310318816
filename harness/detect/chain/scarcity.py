"""Waits for memory that the machine, or the control group, does not have. Pure."""

from __future__ import annotations

from harness.detect.activity import paged_out
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
    if rate >= facts.policy.thrashing and (scarce := _scarce(node.pid, facts)):
        detail = (
            f"waits for memory: {units.count(rate)} pages a second come back from the disk, and "
        )
        return End(kind=Ends.MEMORY, detail=detail + scarce)
    if facts.category(node) is Category.MEMORY and not facts.busy(node):
        return End(kind=Ends.MEMORY, detail="waits for memory")
    return None


def _scarce(pid: int, facts: Facts) -> str:
    """Say that memory is scarce for a process; empty where nothing shows it."""
    observed, policy = facts.observed, facts.policy
    more, machine = observed.last.more.get(pid), observed.last.machine
    swapped, free = (more.swap if more else None) or 0, machine.available
    if swapped > policy.swapped or (free is not None and free < policy.scarce):
        return f"{units.size(swapped)} are swapped out"
    # macOS tells of no process what is swapped out. A machine under no pressure has room.
    written = paged_out(observed.windows) or 0.0
    if written < policy.thrashing or machine.pressure_level == 1:
        return ""
    return f"the machine writes {units.count(written)} a second to it"
