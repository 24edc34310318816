"""A kernel on the GPU that never ends, as far as it can be told. Pure.

The host waits for a GPU that works, and that is life. One that computes kernel after kernel lets
its host move between them. A host that has not moved at any look for minutes waits for one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from harness.detect.activity import Pace, motion
from harness.detect.chain.links import Ends
from harness.detect.observation import Observation
from harness.detect.policy import STANDARD
from harness.detect.tree import Tree


def waits_still(tree: Tree, seen: Observation) -> bool:
    """True if the root waits for a GPU that works, and the thread that waits did not run."""
    judged = tree.by_pid.get(seen.root)
    chain = judged.chain if judged is not None else None
    if chain is None or not chain.links or chain.end.kind is not Ends.GPU_WORKS:
        return False
    last = chain.links[-1]
    pace = motion(seen.windows, last.pid).threads.get(last.tid)
    return pace is not None and _stood(pace)


def _stood(pace: Pace) -> bool:
    """True if a thread was not switched in. Where that is not counted, its time is exact enough: a
    thread of XNU that runs for a microsecond has used one."""
    if pace.switches is None:
        return pace.cpu == 0.0 and "R" not in pace.states
    return pace.switches == 0


def lasted(looks: Sequence[tuple[float, bool]]) -> float:
    """Seconds for which the last looks agree. Each is its time in seconds, and what `waits_still`
    said."""
    agreeing = list(takewhile(lambda look: look[1], reversed(looks)))
    return agreeing[0][0] - agreeing[-1][0] if agreeing else 0.0


def endless(looks: Sequence[tuple[float, bool]]) -> bool:
    """True if the last looks agree for as long as a kernel is believed to work."""
    return lasted(looks) >= STANDARD.kernel_believed_s
