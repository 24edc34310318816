"""The sources that could end the waits of a tree, all together, read once for one observation."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import Process
from harness.model.world import Futex, Relations
from harness.observe.linux import file_peers, futexes, mappings

_MOST = 64
"""Processes of a tree that are looked into, at most."""


class Reader:
    """Reads who could end the waits of a tree, at one look after the other.

    A lock whose owner was sought in the memory of a process is not sought there again.
    """

    def __init__(self, arch: str) -> None:
        self._arch = arch
        self._futexes = futexes.Futexes(arch)

    def __call__(self, processes: Sequence[Process]) -> Relations:
        """Read who could end the waits of `processes`."""
        ends = file_peers.Ends()
        self._futexes.look(ends.table)
        return _read(processes, self._futexes, ends, self._arch)


def _read(
    processes: Sequence[Process], reader: futexes.Futexes, ends: file_peers.Ends, arch: str
) -> Relations:
    waits: dict[int, Futex] = {}
    for process in processes[:_MOST]:
        waits |= reader.of(process)
    return Relations(
        links={
            thread.tid: links
            for process in processes[:_MOST]
            for thread in process.threads
            if (links := file_peers.waited_for(process, thread, arch, ends))
        },
        futexes=waits,
        peers={process.pid: ends.peers(process.pid) for process in processes[:_MOST]},
        shares=mappings.sharers((process.pid for process in processes), arch),
    )
