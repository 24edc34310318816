"""The files that a thread waits for, and the processes that hold the other ends. Linux only.

Reads /proc, and asks the kernel which socket is connected to which. What cannot be read is left
out, and said to be: a link is then not `complete`.
"""

from __future__ import annotations

import os
import re
import stat

import msgspec

from harness import syscalls
from harness.model import Process, Thread
from harness.model.world import Link, LinkKind
from harness.observe.linux import (
    file_table,
    files,
    foreground,
    locks,
    mappings,
    mounts,
    reading,
    socket_timeout,
)
from harness.observe.linux.file_table import READ_ONLY, WRITE_ONLY, FileTable
from harness.observe.linux.mounts import Mount
from harness.observe.linux.sockets import Sockets
from harness.observe.linux.waited_files import Waited, waited
from harness.text import late

_LONGEST_PATH, _AT_FDCWD = 4096, 0xFFFFFF9C
_OPENS = {"open": 0, "creat": 0, "openat": 1, "openat2": 1}
"""The index of the argument that is the address of the path."""
_ACCESS = 0o3
_FIFO_WAITS, _FUSE_WAITS = ("wait_for_partner", "fifo_open"), "request_wait_answer"
_TIME = late.compile(r"^(it_value|it_interval): \((\d+), *(\d+)\)", re.M)
"""The time that a timer has left, and that between two times, in seconds and nanoseconds."""
_FAULT = -1
"""In place of a system call: a page of memory is fetched, perhaps one of a file."""
_SOCKETS = frozenset(("local_socket", "tcp", "udp"))
_ANONYMOUS: dict[str, tuple[LinkKind, str]] = {
    "timerfd": ("timerfd", "a timer"),
    "signalfd": ("signalfd", "a signal"),
    "inotify": ("inotify", "a change of a file"),
    "io_uring": ("io_uring", "an io_uring"),
}


class Ends:
    """The holders of each file, among the processes that may be looked into, as of first asked."""

    def __init__(self) -> None:
        self.table = FileTable()
        self._sockets = Sockets(self.table)
        self._mounts: dict[int, list[Mount]] = {}

    def mounts(self, pid: int) -> list[Mount]:
        if pid not in self._mounts:
            self._mounts[pid] = mounts.mounts(pid)
        return self._mounts[pid]

    def peers(self, pid: int) -> tuple[int, ...]:
        """All processes that `pid` has a connection to."""
        found: dict[int, None] = {}
        for _, target in file_table.opened(pid) or ():
            if target.startswith("socket:"):
                found |= dict.fromkeys(self._sockets.link(target, pid).peers)
        return tuple(found)

    def link(self, pid: int, file: int, reads: bool | None) -> Link | None:
        """The thing behind an open file of `pid`; None when it is not open any more.

        `reads`: whether the process waits to read it, or else to write to it; None for either.
        """
        target = file_table.target(pid, file)
        if target is None:
            return None
        if target.startswith("pipe:"):
            return self._pipe("a pipe", target, pid, reads)
        if target.startswith("socket:"):
            return self._sockets.link(target, pid)
        if target.startswith(("anon_inode:", "pidfd:")):
            return self._nameless(target, pid, file)
        if target in foreground.MASTERS:
            peers = foreground.slaves(pid, file, self.table)
            told = "a pseudo-terminal"
            return Link(told=told, kind="terminal_master", peers=peers, reopenable=True)
        if foreground.is_terminal(target):
            return self._terminal(target, pid, file, reads)
        name, mount = os.path.basename(target), self._mount(pid, file)
        if not (mount and mount.remote) and _is_fifo(pid, file):
            return self._pipe(f"the pipe {name}", target, pid, reads, named=True)
        if target.startswith("/dev/") and not target.startswith("/dev/shm/"):
            return Link(told=f"the file {name}", kind="device", complete=False)
        return self.file(f"the file {name}", mount)

    def lock(self, pid: int, wanted: locks.Wanted) -> Link | None:
        """The processes that hold the lock on a file that `pid` waits for."""
        target = file_table.target(pid, wanted.file)
        if target is None:
            return None
        mount = self._mount(pid, wanted.file)
        holders = locks.holders(pid, wanted, mount, self.table)
        others = tuple(one for one in holders if one != pid)
        elsewhere = mount is not None and mount.remote
        return Link(
            told=f"a lock on the file {os.path.basename(target)}",
            kind="lock",
            peers=others,
            only_own=bool(holders) and not others,
            # A machine that shares the file system can hold it.
            complete=bool(holders) and not elsewhere and self.table.complete(pid, anybody=True),
            reopenable=True,
            mount=None if mount is None else mount.place,
            fs=None if mount is None else mount.type,
        )

    def file(self, told: str, mount: Mount | None) -> Link:
        daemons, certain = (
            mounts.daemons(mount, self.table) if mount and mount.fuse else ((), False)
        )
        return Link(
            told=told,
            kind="file",
            peers=daemons,
            complete=certain,
            mount=None if mount is None else mount.place,
            fs=None if mount is None else mount.type,
        )

    def _mount(self, pid: int, file: int) -> Mount | None:
        return mounts.of_file(pid, file, self.mounts(pid))

    def _pipe(
        self, told: str, target: str, pid: int, reads: bool | None, named: bool = False
    ) -> Link:
        held = [
            holder
            for holder in self.table.holders(target)
            if reads is None or file_table.access(holder) != (READ_ONLY if reads else WRITE_ONLY)
        ]
        others = file_table.others(held, pid)
        return Link(
            told=told,
            kind="fifo" if named else "pipe",
            peers=others,
            only_own=bool(held) and not others,
            also_own=bool(others) and any(holder.pid == pid for holder in held),
            # To wait for an end that nobody has is to be told so. Somebody has it who is not seen.
            complete=bool(held) and self.table.complete(pid, anybody=named),
            reopenable=named,
        )

    def _nameless(self, target: str, pid: int, file: int) -> Link:
        kind = target.partition(":")[0 if target.startswith("pidfd:") else 2].strip("[]")
        if kind == "pidfd":
            child = file_table.info_line(pid, file, "Pid")
            known = child is not None and int(child) > 0
            told = f"the end of process {child}" if known else "the end of a process"
            peers = (int(child),) if child is not None and known else ()
            return Link(told=told, kind="pidfd", peers=peers, complete=known)
        if kind == "eventfd":
            number = file_table.info_line(pid, file, "eventfd-id")
            holders = [] if number is None else self.table.events(number)
            others = file_table.others(holders, pid)
            return Link(
                told="an eventfd",
                kind="eventfd",
                peers=others,
                # A kernel before 5.2 does not number them: its holder is all that is known.
                only_own=not others,
                also_own=bool(others),
                complete=bool(holders) and self.table.complete(pid),
            )
        if kind in _ANONYMOUS:
            name, told = _ANONYMOUS[kind]
            left = _rings_in(pid, file) if name == "timerfd" else None
            return Link(told=told, kind=name, reopenable=True, complete=False, left_s=left)
        return Link(told=f"an {kind}", complete=False)

    def _terminal(self, target: str, pid: int, file: int, reads: bool | None) -> Link:
        if reads is not False and foreground.person(pid, file):
            return Link(told="what is typed at its terminal", kind="terminal", person=True)
        told = "what is typed at its terminal" if reads is not False else "its terminal"
        peers = foreground.masters(target, pid, self.table)
        return Link(told=told, kind="terminal", peers=peers, complete=False, reopenable=True)


def waited_for(process: Process, thread: Thread, arch: str, ends: Ends) -> tuple[Link, ...]:
    """The things behind the files that `thread` waits for; empty when it waits for none."""
    if thread.state not in "SD" or thread.syscall is None:
        return ()
    pid = process.pid
    name = syscalls.name(thread.syscall, arch) or ""
    if name in _OPENS:
        opened = _opening(pid, name, thread, ends)
        return (opened,) if opened else ()
    if (wanted := locks.wanted(pid, name, thread)) is not None:
        held = ends.lock(pid, wanted)
        return (held,) if held else ()
    files, whole = waited(pid, thread, arch)
    each = [_one(pid, one, name, ends) for one in files]
    links = [link for link in each if link is not None]
    if not whole or len(links) < len(each):
        links = [msgspec.structs.replace(link, complete=False) for link in links]
    if not links and thread.wchan == _FUSE_WAITS:
        return (on_fuse(pid, thread.syscall == _FAULT, ends),)
    # A thread that polls has pipes of its own among them, to be woken by: they say nothing.
    telling = [link for link in links if not _is_certainly_own(link)]
    return tuple(dict.fromkeys(telling or links))


def _is_certainly_own(link: Link) -> bool:
    return link.only_own and link.complete and not link.reopenable


def _one(pid: int, each: Waited, name: str, ends: Ends) -> Link | None:
    if name.startswith("mq_timed"):
        queue = os.path.basename(file_table.target(pid, each.file) or "")
        return Link(told=f"the message queue {queue}", complete=False, reopenable=True)
    link = ends.link(pid, each.file, each.reads)
    if link is None or link.kind not in _SOCKETS or not each.alone or each.reads is None:
        return link  # who polls heeds no timeout of a socket
    seconds = socket_timeout.seconds(pid, each.file, each.reads)
    timed = None if seconds is None else seconds > 0
    return msgspec.structs.replace(link, timed=timed, left_s=seconds or None)


def _opening(pid: int, name: str, thread: Thread, ends: Ends) -> Link | None:
    """The file that it tries to open: a named pipe, unless it is a device or a lock in its way."""
    place, args = _OPENS[name], thread.args
    if len(args) < place + 2:
        return None
    path = os.fsdecode(reading.memory(pid, args[place], _LONGEST_PATH).partition(b"\0")[0])
    if not path:
        return None
    base = f"fd/{args[0]}" if place and args[0] & 0xFFFFFFFF != _AT_FDCWD else "cwd"
    told = os.path.basename(path)
    mount, mode = mounts.mode(pid, base, path, ends.mounts(pid))
    if thread.wchan in _FIFO_WAITS or (mode is not None and stat.S_ISFIFO(mode)):
        flags = args[place + 1] if name in ("open", "openat") else None
        access = {None: "at the other end", READ_ONLY: "for writing"}
        way = access.get(flags if flags is None else flags & _ACCESS, "for reading")
        told = f"the pipe {told}, which nobody has open {way}"
        return Link(told=told, kind="fifo", reopenable=True, complete=False)
    return ends.file(f"the file {told} to be opened", mount)


def on_fuse(pid: int, fault: bool, ends: Ends) -> Link:
    """The FUSE file system that a call waits for which names no open file, such as a close."""
    fuse = [mount for mount in ends.mounts(pid) if mount.fuse]
    if fault:
        mapped = {one.device for one in mappings.mappings(pid)}
        fuse = [mount for mount in fuse if mounts.in_maps(mount.device) in mapped]
    if len(fuse) > 1:
        fuse = [mount for mount in fuse if mounts.has_requests(mount)]
    if len(fuse) == 1:
        return ends.file("a file", fuse[0])
    return Link(told="a file", kind="file", fs="fuse", complete=False)


def _rings_in(pid: int, file: int) -> float | None:
    """Seconds until a timer rings that is armed to ring once (`fs/timerfd.c`, timerfd_show)."""
    times = {
        name: int(s) + int(ns) / 1e9 for name, s, ns in _TIME.findall(file_table.info(pid, file))
    }
    return None if times.get("it_interval") else times.get("it_value") or None


def _is_fifo(pid: int, file: int) -> bool:
    try:
        return stat.S_ISFIFO(files.kind_of(f"/proc/{pid}/fd/{file}")[0])
    except OSError:
        return False
