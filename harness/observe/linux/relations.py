"""The sources that could end the waits of a tree, all together, read once for one observation."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from harness.model import Process
from harness.model.world import Futex, Relations
from harness.observe.linux import file_peers, futexes, reading

_MOST = 64
"""Processes of a tree that are looked into, at most."""
_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_VM = 1
_START_OF_STACK = 25
"""Its place among a stat's fields after the name."""


class Reader:
    """Reads who could end the waits of a tree, at one look after the other.

    A lock whose owner was sought in the memory of a process is not sought there again.
    """

    def __init__(self, arch: str) -> None:
        self._arch = arch
        self._futexes = futexes.Futexes(arch)

    def __call__(self, processes: Sequence[Process]) -> Relations:
        """Read who could end the waits of `processes`."""
        self._futexes.look()
        return _read(processes, self._futexes, self._arch)


def _read(processes: Sequence[Process], reader: futexes.Futexes, arch: str) -> Relations:
    ends = file_peers.Ends()
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
        shares=frozenset(p.pid for p in processes if shares_memory(p.pid, p.ppid, arch)),
    )


def shares_memory(pid: int, parent: int, arch: str) -> bool:
    """True if the memory of `pid` may be its parent's as well, as between vfork and exec.

    A thread of the parent could then wake it through what is called a private futex.
    """
    call = ctypes.CDLL(None, use_errno=True).syscall
    number = _KCMP.get(arch)
    if number is not None:
        answer = call(number, pid, parent, _KCMP_VM, 0, 0)
        if answer >= 0:
            return bool(answer == 0)
    # It may not be asked. What has called exec since has a stack that begins elsewhere.
    first, second = (reading.stat(f"/proc/{one}/stat") for one in (pid, parent))
    begins = [stat[1][_START_OF_STACK] if stat else None for stat in (first, second)]
    return begins[0] == begins[1] and begins[0] not in (None, "0", b"0")
