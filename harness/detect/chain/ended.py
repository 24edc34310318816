"""Children that have ended and that their parents have not asked for. Pure."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection

from harness.detect.activity import has_ended
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import EndedChild
from harness.model.world import More

_MOST = 64


def ended_children(facts: Facts, parents: Collection[int]) -> tuple[EndedChild, ...]:
    """The ended children of `parents`, those that ended badly first."""
    observed = facts.observed
    found = [
        EndedChild(
            pid=process.pid,
            ppid=process.ppid,
            name=observed.name(process.pid)
            if process.pid in observed.names or process.pid in observed.ranks.values()
            else f"process {process.pid} ({process.name})",
            code=os.waitstatus_to_exitcode(more.status),
            oom_killer=_by_oom_killer(more, observed.oom_kills),
        )
        for process in observed.last.processes
        if process.ppid in parents
        and has_ended(process)
        and (more := observed.last.more.get(process.pid)) is not None
        and more.status is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.code == 0, one.pid))[:_MOST])


def _by_oom_killer(more: More, kills: int | None) -> bool | None:
    """True if the killer struck in its control group, or, where that is not seen, at all.

    `kills`: on the whole machine, since the tree is watched; None where that is not known.
    """
    if more.status is None or os.waitstatus_to_exitcode(more.status) != -signal.SIGKILL:
        return False
    if kills == 0 or more.oom_kills == 0:
        return False
    if more.oom_kills is None and kills is None:
        return None
    return True
