"""The threads that stay in one place, with what tells whether their variables change."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from harness.detect import spinning
from harness.detect.chain import handing
from harness.detect.chain.facts import Facts
from harness.detect.observation import Observation
from harness.detect.policy import Policy
from harness.observe import platform
from harness.stacks import values

_MOST = 6
"""Processes whose variables are read, at most."""


def inspect(
    seen: Observation, policy: Policy | None = None, stop: threading.Event | None = None
) -> spinning.Inspection:
    """The threads that stayed in one place, each with a digest of its variables."""
    shown = spinning.inspect(seen, policy)
    return msgspec.structs.replace(shown, values=_digests(seen, shown, stop))


def at_once(seen: Observation) -> dict[int, str]:
    """By thread, the place in which it stayed while none of its variables changed.

    For who looks once: what may take long, as one call of a library, is left out.
    """
    first = inspect(seen)
    again = _digests(seen, first, None)
    return {
        tid: stay.where
        for tid, stay in first.stays.items()
        if not stay.yields and spinning.stands_still(stay, (first.values.get(tid), again.get(tid)))
    }


def _digests(
    seen: Observation, shown: spinning.Inspection, stop: threading.Event | None
) -> dict[int, str]:
    if not platform.current().shows_waits:
        return _told(seen, shown)
    pids = [
        process.pid
        for process in seen.last.processes
        if any(thread.tid in shown.stays for thread in process.threads)
    ]
    every = (values.read(pid, stop).every for pid in pids[:_MOST])
    return {tid: digest for each in every for tid, digest in each.items()}


def _told(seen: Observation, shown: spinning.Inspection) -> dict[int, str]:
    """The digests that the processes told with their stacks, of those threads of which all captures
    have the same."""
    facts, same = Facts(seen), {}
    for pid in facts.processes:
        captures = range(len(seen.stacks.get(pid, ())))
        for node in facts.threads(pid):
            stacks = [facts.stack(node, -1 - number) for number in captures]
            told = {stack.variables if stack else "" for stack in stacks}
            if node.tid in shown.stays and len(told) == 1 and "" not in told:
                same[node.tid] = told.pop()
    return same


def variables(
    seen: Observation,
    pids: Sequence[int],
    policy: Policy | None = None,
    stop: threading.Event | None = None,
) -> dict[int, values.Variables]:
    """The variables of those of the processes `pids` in which a thread is woken, by process. No
    tool reads them where waits are not shown."""
    if not platform.current().shows_waits:
        return {}
    waked = handing.wakes(Facts(seen, policy or Policy()), pids)
    return {pid: values.read(pid, stop) for pid in waked[:_MOST]}


def varied(
    before: dict[int, values.Variables], stop: threading.Event | None = None
) -> dict[int, bool]:
    """By thread, whether variables of the user's own code have changed since `before`."""
    every = (values.varied(was, values.read(pid, stop)) for pid, was in before.items())
    return {tid: changed for each in every for tid, changed in each.items()}
