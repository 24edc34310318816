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
        shares=sharers(processes, arch),
    )


def sharers(processes: Sequence[Process], arch: str) -> frozenset[int]:
    """Those whose memory may be another process's as well, below them, beside them or elsewhere."""
    beginning: dict[str, list[int]] = {}
    for pid in reading.numbers("/proc"):
        if (begin := _begin(pid)) is not None:
            beginning.setdefault(begin, []).append(pid)
    return frozenset(
        one.pid
        for one in processes
        if any(
            shares_memory(one.pid, other, arch)
            for other in {one.ppid, *beginning.get(_begin(one.pid) or "", ())} - {one.pid}
        )
    )


def shares_memory(pid: int, other: int, arch: str) -> bool:
    """True if two processes may have one memory, as a child and its parent from vfork to exec, and
    as clone() makes them with CLONE_VM.

    A thread of one could then wake one of the other through what is called a private futex.
    """
    call = ctypes.CDLL(None, use_errno=True).syscall
    number = _KCMP.get(arch)
    if number is not None:
        answer = call(number, pid, other, _KCMP_VM, 0, 0)
        if answer >= 0:
            return bool(answer == 0)
    # It may not be asked. What has called exec since has a stack that begins elsewhere.
    begin = _begin(pid)
    return begin is not None and begin == _begin(other)


def _begin(pid: int) -> str | None:
    """The address at which its stack begins; None where it has none, or it is not shown."""
    stat = reading.stat(f"/proc/{pid}/stat")
    begin = None if stat is None else stat[1][_START_OF_STACK]
    return None if begin == "0" else begin
