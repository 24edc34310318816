"""The files that a system call waits for. Linux only."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from harness import syscalls
from harness.model import Thread
from harness.observe.linux import file_table, reading
from harness.text import late

MOST = 64
"""Files of one wait that are looked into."""
_SELECTED = 1024
"""Files of a select that are looked at: the C library's own limit, which is not the kernel's."""
_POLLFD = struct.Struct("<ihh")
_IN, _OUT = 0x1, 0x4
_ASKED, _END = _IN | _OUT | 0x2, 0x8 | 0x10
"""The same in poll and in epoll. That the other end is closed wakes also who asks for nothing."""
_READS = frozenset(
    ("read", "readv", "pread64", "recvfrom", "recvmsg", "recvmmsg", "accept", "accept4",
     "mq_timedreceive")
)  # fmt: skip
_WRITES = frozenset(
    ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "vmsplice", "sendto",
     "sendmsg", "sendmmsg", "connect", "mq_timedsend")
)  # fmt: skip
_EITHER = frozenset(("fcntl", "flock", "fsync", "fdatasync", "ioctl", "io_uring_enter"))
_TRANSFERS = {"splice": 2, "tee": 1}
"""The first argument is what is read from; the place of what is written to."""
_POLLS = ("poll", "ppoll")
_SELECTS = ("select", "pselect6")
_EPOLLS = ("epoll_wait", "epoll_pwait", "epoll_pwait2")
_EPOLL = "anon_inode:[eventpoll]"
_REGISTERED = late.compile(r"^tfd:\s*(\d+)\s+events:\s*([0-9a-f]+)(?:.*?\bino:([0-9a-f]+))?", re.M)


class Waited(NamedTuple):
    file: int
    reads: bool | None
    """True: until it can be read. False: until it can be written to. None: either, or neither."""
    alone: bool = True
    """True if the call waits for this file, and not for the first of several."""


class WaitedFiles(NamedTuple):
    files: list[Waited]
    whole: bool = True
    """False if the call may end by a file that is not among them: of a large set, by the end of one
    of which nothing else is asked, or by one whose number is another's by now."""


def waited(pid: int, thread: Thread, arch: str) -> WaitedFiles:
    """The files that a thread waits for; empty when it waits for none."""
    if thread.state not in "SD" or thread.syscall is None or not thread.args:
        return WaitedFiles([])
    name = syscalls.name(thread.syscall, arch) or ""
    args = thread.args
    if name == "restart_syscall" and (thread.wchan or "").startswith("poll_schedule"):
        name = "poll"  # a stop has interrupted a wait with a timeout, which goes on so
    if name in _POLLS or name in _SELECTS or name in _EPOLLS:
        files, whole = _set(pid, name, args)
        return WaitedFiles(files[:MOST], whole and len(files) <= MOST)
    if name in _TRANSFERS:
        return WaitedFiles([Waited(args[0], True), Waited(args[_TRANSFERS[name]], False)])
    if name in _READS or name in _WRITES or name in _EITHER:
        reads = None if name in _EITHER else name in _READS
        return WaitedFiles([Waited(args[0] & 0xFFFFFFFF, reads)])
    return WaitedFiles([])


def _set(pid: int, name: str, args: tuple[int, ...]) -> WaitedFiles:
    """The members of a set of files."""
    if name in _POLLS:
        size = _POLLFD.size * min(args[1], MOST + 1)
        data = reading.memory(pid, args[0], size)
        entries = [
            (file, events)
            for file, events, _ in _POLLFD.iter_unpack(data[: len(data) - len(data) % _POLLFD.size])
            if file >= 0
        ]
        return WaitedFiles(
            [Waited(file, _reads(events), False) for file, events in entries if events],
            len(data) == size and all(events for _, events in entries),
        )
    if name in _SELECTS:
        number = min(args[0], _SELECTED)
        size = (number + 7) // 8
        reads, writes, rest = (
            int.from_bytes(reading.memory(pid, place, size), "little") if place else 0
            for place in args[1:4]
        )
        found = [
            Waited(file, _reads((reads >> file & 1) * _IN + (writes >> file & 1) * _OUT), False)
            for file in range(number)
            if (reads | writes | rest) >> file & 1
        ]
        return WaitedFiles(found, args[0] == number)
    return _registered(pid, args[0])


def _registered(pid: int, epoll: int, nested: bool = False) -> WaitedFiles:
    """The members of an epoll, and those of its members that are epolls too."""
    found: list[Waited] = []
    whole = True
    for number, events, inode in _REGISTERED.findall(file_table.info(pid, epoll)):
        file, wanted = int(number), int(events, 16)
        target = file_table.target(pid, file) or ""
        if not wanted & (_ASKED | _END):
            continue
        if target == _EPOLL and not nested:
            within = _registered(pid, file, nested=True)
            found += within.files
            whole = whole and within.whole
        elif _replaced(target, inode) or not wanted & _ASKED:
            whole = False
        else:
            found.append(Waited(file, _reads(wanted), False))
        if len(found) > MOST:
            break
    return WaitedFiles(found, whole)


def _replaced(target: str, inode: str) -> bool:
    """Check whether the number that was registered now is that of another pipe or socket."""
    now = re.search(r"^(?:pipe|socket):\[(\d+)\]$", target)
    return bool(now and inode and int(now[1]) != int(inode, 16))


def _reads(events: int) -> bool | None:
    reads, writes = bool(events & _IN), bool(events & _OUT)
    return None if reads == writes else reads
