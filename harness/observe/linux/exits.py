"""The ends of processes that are not our own children, also once their parents have asked for them.

Who holds a pidfd of a process is told how it ended, by Linux 6.15 and later. On other kernels, and
on other platforms, nothing is known here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import weakref
from collections.abc import Iterable
from typing import NamedTuple

from harness.model import Process
from harness.model.world import Ended

_GET_INFO = 0xC000FF0B
"""PIDFD_GET_INFO, without the size of its structure."""
_INFO = struct.Struct("=QQ11Ii")
"""Mask, control group, eleven ids, exit status: all that its first version has."""
_EXIT = 1 << 3
MOST = 64
"""Processes that are followed, each at the cost of an open file."""
LASTING_S = 1.0
"""The age that tells a process that came after the last step from a passing helper."""


class _Followed(NamedTuple):
    file: int
    process: Process
    since: float


class Exits:
    """Follows the processes of one tree."""

    def __init__(self) -> None:
        self._known: dict[int, _Followed] = {}
        self._ended: tuple[Ended, ...] = ()
        weakref.finalize(self, _close, self._known)

    def follow(self, processes: Iterable[Process], t: float, progress: float) -> None:
        """Take in the processes of a look, and ask how those ended that are gone since.

        `progress` is when the last step came: what ended before it was no obstacle.
        """
        seen = {process.pid: process for process in processes}
        ended = [one for one in self._ended if one.t >= progress]
        for pid in [pid for pid in self._known if pid not in seen]:
            one = self._known.pop(pid)
            status = exit_status(one.file)
            os.close(one.file)
            lasting = one.since <= progress or t - one.since >= LASTING_S
            if status and lasting:
                name, parent = one.process.name, one.process.ppid
                ended.append(Ended(pid=pid, ppid=parent, name=name, status=status, t=t))
        self._ended = tuple(ended)
        for pid, process in seen.items():
            if pid in self._known:
                self._known[pid] = self._known[pid]._replace(process=process)
            elif len(self._known) < MOST and (file := _open(pid)) is not None:
                self._known[pid] = _Followed(file, process, t)

    @property
    def ended(self) -> tuple[Ended, ...]:
        """Those that have ended badly since the last step, without what has come since and soon
        went."""
        return self._ended


def exit_status(file: int) -> int | None:
    """The end of the process of a pidfd, as of wait4; None while its parent has not asked for it.

    None also where the kernel does not tell.
    """
    answer = bytearray(_INFO.size)
    struct.pack_into("=Q", answer, 0, _EXIT)
    try:
        fcntl.ioctl(file, _GET_INFO | _INFO.size << 16, answer)
    except OSError:
        return None
    mask, *_, status = _INFO.unpack(answer)
    return int(status) if mask & _EXIT else None


def _open(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _close(known: dict[int, _Followed]) -> None:
    for one in known.values():
        with contextlib.suppress(OSError):
            os.close(one.file)
    known.clear()
