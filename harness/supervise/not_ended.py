"""Processes that could not be ended: which, what holds them, and what would end them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.model import Finding
from harness.model.finding import warning
from harness.model.world import Hold
from harness.observe import platform, process_names, threads
from harness.text.units import plural

_LOOK_S = 3.0
"""The longest time to look at them, in seconds: what holds them could hold who looks."""


def find(pids: Sequence[int]) -> tuple[Finding, ...]:
    """The finding that names them; none where no process is left."""
    if not pids:
        return ()
    holds = _looked_at(pids)
    if not holds:
        return ()
    told = "; ".join(_describe(hold) for hold in holds[:4])
    more = f"; and {plural(len(holds) - 4, 'other process', 'other processes')}" * (len(holds) > 4)
    return (
        warning(
            "not_ended",
            f"SIGKILL did not end {plural(len(holds), 'process', 'processes')}: {told}{more}",
            processes=[msgspec.to_builtins(hold) for hold in holds],
        ),
    )


def _looked_at(pids: Sequence[int]) -> tuple[Hold, ...]:
    """The holds of the processes; only their numbers where the look itself takes too long."""
    unknown = tuple(Hold(pid=pid) for pid in pids)
    return threads.within(_LOOK_S, lambda: platform.current().holds(pids), unknown)


def _describe(hold: Hold) -> str:
    name = f" ({hold.name})" if hold.name else ""
    state = f" is in state {hold.state} and" if hold.state else ""
    text = f"process {hold.pid}{name}{state} {hold.wait}"
    if hold.mount is not None:
        text += f" on {hold.mount} ({hold.fs})"
    if hold.served_by:
        text += f", which {' and '.join(map(_server, hold.served_by[:2]))} serves"
    if hold.remedies:
        text += f". To end it: {' or '.join(f'`{remedy}`' for remedy in hold.remedies)}"
    return text


def _server(pid: int) -> str:
    named = " ".join(process_names.named(pid))
    return f"process {pid}" + (f" ({named})" if named else "")
