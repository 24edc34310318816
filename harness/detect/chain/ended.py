"""Children that have ended while their parents wait. Pure."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection

from harness.detect.activity import has_ended
from harness.detect.chain.facts import Facts
from harness.detect.chain.links import EndedChild
from harness.detect.observation import Observation

_MOST = 64


def ended_children(facts: Facts, parents: Collection[int]) -> tuple[EndedChild, ...]:
    """The ended children of `parents`, those that ended badly first.

    Beside those that nobody has asked for these are others that have ended since the last step.
    """
    observed = facts.observed
    kept = [
        _child(process.pid, process.ppid, process.name, status, more.oom_kills, observed)
        for process in observed.last.processes
        if process.ppid in parents
        and has_ended(process)
        and (more := observed.last.more.get(process.pid)) is not None
        and (status := more.status) is not None
    ]
    gone = [
        _child(one.pid, one.ppid, one.name, one.status, None, observed)
        for one in observed.ended
        if one.ppid in parents
    ]
    return tuple(sorted([*kept, *gone], key=lambda one: (one.code == 0, one.pid))[:_MOST])


def _child(
    pid: int, ppid: int, name: str, status: int, in_group: int | None, observed: Observation
) -> EndedChild:
    known = pid in observed.names or pid in observed.ranks.values()
    return EndedChild(
        pid=pid,
        ppid=ppid,
        name=observed.name(pid) if known else f"process {pid} ({name})",
        code=(code := os.waitstatus_to_exitcode(status)),
        oom_killer=_by_oom_killer(code, in_group, observed.oom_kills),
    )


def _by_oom_killer(code: int, in_group: int | None, kills: int | None) -> bool | None:
    """True if the killer struck in its control group, or, where that is not seen, at all.

    `kills`: on the whole machine, since the tree is watched; None where that is not known.
    """
    if code != -signal.SIGKILL or kills == 0 or in_group == 0:
        return False
    return None if in_group is None and kills is None else True
