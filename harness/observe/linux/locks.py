"""Locks on files, and the processes that hold them. Linux only.

The kernel's list in /proc/locks names the process that took a lock. That may have ended while a
child of it holds the lock still, so the open files themselves are asked.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.model import Thread
from harness.observe.linux import file_table, files, mounts, reading
from harness.observe.linux.file_table import FileTable, Holder
from harness.observe.linux.mounts import Mount
from harness.text import late

_SETLKW, _OFD_SETLKW = 7, 38
_SHARED, _NON_BLOCKING = 1, 4
"""Bits of flock's argument."""
_RANGE = struct.Struct("<hhxxxxqq")
"""Type, from where, start and length of a struct flock."""
_FOR_READING, _FROM_START = 0, 0
_LINE = late.compile(
    r"^lock:\s*\d+:\s*(FLOCK|POSIX|OFDLCK)\s+\S+\s+(\w+)\s+-?\d+\s+([0-9a-f]+:[0-9a-f]+):(\d+)\s+(\d+)\s+(\w+)",
    re.M,
)
_LISTED = late.compile(r"^\d+:\s*\w+\s+\S+\s+\w+\s+(\d+)\s+([0-9a-f]+:[0-9a-f]+):(\d+)\s", re.M)
_WHOLE = (0, 1 << 63)


class Wanted(NamedTuple):
    """The lock that a thread waits for."""

    file: int
    flock: bool
    """True if it is one of flock(2): these know nothing of those of fcntl(2)."""
    shared: bool
    """True if others may hold it for reading at the same time."""
    begin: int
    end: int


class Held(NamedTuple):
    """A line `lock:` of /proc/PID/fdinfo."""

    flock: bool
    shared: bool
    device: str
    inode: int
    begin: int
    end: int


def wanted(pid: int, name: str, thread: Thread) -> Wanted | None:
    """The lock that a thread waits for in the system call `name`; None when it is none."""
    args = thread.args
    if name == "flock" and not args[1] & _NON_BLOCKING:
        return Wanted(args[0], True, args[1] & 3 == _SHARED, *_WHOLE)
    if name == "fcntl" and args[1] in (_SETLKW, _OFD_SETLKW):
        data = reading.memory(pid, args[2], _RANGE.size)
        if len(data) < _RANGE.size:
            return Wanted(args[0], False, False, *_WHOLE)
        kind, whence, start, length = _RANGE.unpack(data)
        begin, end = _WHOLE
        if whence == _FROM_START and length >= 0:
            begin, end = start, start + length if length else end
        return Wanted(args[0], False, kind == _FOR_READING, begin, end)
    return None


def holders(pid: int, lock: Wanted, mount: Mount | None, table: FileTable) -> tuple[int, ...]:
    """The processes that hold what stands in the way of a lock, itself included if it does."""
    target = file_table.target(pid, lock.file)
    inode = _inode(pid, lock.file)
    if target is None or inode is None:
        return ()
    device = None if mount is None else mounts.in_maps(mount.device)

    def hold(some: Iterable[Holder]) -> tuple[int, ...]:
        return tuple(
            dict.fromkeys(
                holder.pid
                for holder in some
                for held in parse(file_table.info(*holder))
                if stands(held, lock, inode, device)
            )
        )

    # Most have it open by the same name. A file can have several, and another place elsewhere.
    listed = _listed(inode, device)
    by_others = [one for one in _files(table) if one.pid in listed]
    return hold([*table.holders(target), *by_others]) or hold(_files(table))


def parse(info: str) -> Iterator[Held]:
    for kind, way, device, inode, begin, end in _LINE.findall(info):
        last = _WHOLE[1] if end == "EOF" else int(end) + 1
        yield Held(kind == "FLOCK", way == "READ", device, int(inode), int(begin), last)


def stands(held: Held, lock: Wanted, inode: int, device: str | None) -> bool:
    """Check whether a lock that is held stands in the way of one that is wanted."""
    return (
        held.inode == inode
        and device in (None, held.device)
        and held.flock == lock.flock
        and not (held.shared and lock.shared)
        and held.begin < lock.end
        and lock.begin < held.end
    )


def _listed(inode: int, device: str | None) -> set[int]:
    """The processes that have taken locks on a file, and those that wait for one."""
    text = reading.read("/proc/locks").decode("ascii", "replace")
    return {
        int(pid)
        for pid, on, number in _LISTED.findall(text)
        if int(number) == inode and device in (None, on)
    }


def _files(table: FileTable) -> Iterator[Holder]:
    """All open files that can be locked."""
    for name, holders in table.named("/"):
        if not name.startswith("/dev/"):
            yield from holders


def _inode(pid: int, file: int) -> int | None:
    found = file_table.info_line(pid, file, "ino")
    if found is not None:
        return int(found)
    try:  # a kernel before 5.14
        return files.inode_of(f"/proc/{pid}/fd/{file}")
    except OSError:
        return None
