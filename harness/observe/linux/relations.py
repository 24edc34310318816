"""The sources that could end the waits of a tree, all together, read once for one observation."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cmp_to_key
from itertools import pairwise

from harness.model import Process
from harness.model.world import Futex, Relations
from harness.observe.linux import file_peers, futexes, reading

_MOST = 64
"""Processes of a tree that are looked into, at most."""
_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_VM = 1
_ORDER = {0: 0, 1: -1, 2: 1}
"""The kernel's answers: equal, less, greater."""
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
    """Those whose memory may be another process's as well: of a child from vfork to exec, or of one
    that clone() made with CLONE_VM, below them, beside them or elsewhere.

    A thread of one could then wake one of the other through what is called a private futex.
    """
    beginning: dict[str, list[int]] = {}
    for pid in reading.numbers("/proc"):
        stat = reading.stat(f"/proc/{pid}/stat")
        # What has called exec since has a stack that begins elsewhere. Zero: it is not shown.
        if stat is not None and stat[1][_START_OF_STACK] != "0":
            beginning.setdefault(stat[1][_START_OF_STACK], []).append(pid)
    own = {process.pid for process in processes}
    found: set[int] = set()
    for pids in beginning.values():
        if len(pids) > 1 and not own.isdisjoint(pids):
            found |= own & in_common(pids, arch)
    return frozenset(found)


def in_common(pids: Sequence[int], arch: str) -> set[int]:
    """Those of `pids` whose memory another one of them has; all where the kernel does not tell.

    The kernel says of two memories which comes first (kcmp(2)). In that order the same ones are
    neighbors, so that a thousand forked processes are told apart by some ten thousand questions.
    """
    number, call = _KCMP.get(arch), ctypes.CDLL(None, use_errno=True).syscall

    def order(one: int, other: int) -> int:
        answer = -1 if number is None else call(number, one, other, _KCMP_VM, 0, 0)
        if answer not in _ORDER:
            raise OSError
        return _ORDER[answer]

    try:
        ordered = sorted(pids, key=cmp_to_key(order))
        pairs = [pair for pair in pairwise(ordered) if order(*pair) == 0]
    except OSError:
        return set(pids)
    return {pid for pair in pairs for pid in pair}
