"""What lies behind the files that a thread waits for, and who holds the other ends. Linux only.

Reads /proc, and asks the kernel which socket is connected to which. What cannot be read is left
out.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from harness import syscalls
from harness.model import Process, Thread
from harness.model.world import Link

_MOST = 64
"""Files of one wait that are looked into."""
_POLLFD = struct.Struct("<ihh")
_LONGEST_PATH, _AT_FDCWD = 4096, 0xFFFFFF9C
_ACCESS, _READ_ONLY, _WRITE_ONLY = 0o3, 0, 1
_READS = ("read", "readv", "pread64")
_WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "vmsplice")
_TRANSFERS = {"splice": 2, "tee": 1}
"""The first argument is what is read from; the place of what is written to."""
_OPENS = {"open": 0, "creat": 0, "openat": 1, "openat2": 1}
"""Which argument is the address of the path."""
_NO_FILES = ("", "futex", "io_getevents", "msgsnd", "msgrcv", "semop", "semtimedop")
_POLLS = ("poll", "ppoll")
_SELECTS = ("select", "pselect6")
_EPOLLS = ("epoll_wait", "epoll_pwait", "epoll_pwait2")
_TERMINALS = ("/dev/pts/", "/dev/tty", "/dev/console")
_NETLINK_SOCK_DIAG, _DIAG_BY_FAMILY, _DUMP, _DONE, _ERROR = 4, 20, 0x301, 3, 2
_SHOW_PEER, _PEER = 4, 2
_LISTENS = "0A"


class Ends:
    """Who holds which pipe and socket, among the processes that may be looked into, as of now."""

    def __init__(self) -> None:
        self._holders: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for folder in Path("/proc").glob("[0-9]*"):
            for file, target in _opened(int(folder.name)):
                if target.startswith(("pipe:", "socket:")):
                    self._holders[target].append((int(folder.name), file))
        self._unix = _unix_peers()

    def pipe(self, target: str, pid: int, reads: bool | None) -> Link:
        """`reads`: whether the waiting process reads; None when it may do either."""
        held = [
            holder
            for holder, file in self._holders[target]
            if reads is None or _access(holder, file) != (_READ_ONLY if reads else _WRITE_ONLY)
        ]
        others = tuple(dict.fromkeys(holder for holder in held if holder != pid))
        return Link(told="a pipe", peers=others, only_own=not others)

    def socket(self, target: str, pid: int) -> Link:
        inode = int(re.sub(r"\D", "", target))
        if inode in self._unix:
            peer = self._unix[inode]
            holders = self._holders.get(f"socket:[{peer}]", [])
            others = tuple(dict.fromkeys(holder for holder, _ in holders if holder != pid))
            return Link(told="a local socket", peers=others, only_own=bool(holders) and not others)
        return self._tcp(inode, pid)

    def _tcp(self, inode: int, pid: int) -> Link:
        rows = _tcp_rows(pid)
        row = next((row for row in rows if row[3] == inode), None)
        if row is None:
            return Link(told="a socket")
        local, remote, state, _ = row
        port = int(local.rpartition(":")[2], 16)
        if state == _LISTENS:
            return Link(told=f"a connection to its port {port}")
        ends = [one for one in rows if one[0] == remote and one[1] == local]
        holders = [
            holder for end in ends for holder, _ in self._holders.get(f"socket:[{end[3]}]", [])
        ]
        peers = tuple(dict.fromkeys(holder for holder in holders if holder != pid))
        far = int(remote.rpartition(":")[2], 16)
        here = bool(ends) or _is_loopback(remote)
        where = "of this machine" if here else "of another machine"
        told = f"a socket to port {far} {where}"
        return Link(told=told, peers=peers, only_own=bool(holders) and not peers)

    def peers(self, pid: int) -> tuple[int, ...]:
        """All processes that `pid` has a connection to."""
        found: dict[int, None] = {}
        for _, target in _opened(pid):
            if target.startswith("socket:"):
                found |= dict.fromkeys(self.socket(target, pid).peers)
        return tuple(found)


def waited_for(process: Process, thread: Thread, arch: str, ends: Ends) -> tuple[Link, ...]:
    """What lies behind the files that `thread` waits for; empty when it waits for none."""
    if thread.state != "S" or thread.syscall is None or thread.syscall < 0:
        return ()
    name = syscalls.name(thread.syscall, arch) or ""
    if name in _OPENS:
        opened = _opening(process.pid, name, thread.args)
        return (opened,) if opened else ()
    reads = True if name in _READS else False if name in _WRITES else None
    both = [(file, reads) for file in _files(process.pid, name, thread.args)[:_MOST]]
    if name in _TRANSFERS:
        both = [(thread.args[0], True), (thread.args[_TRANSFERS[name]], False)]
    links = []
    for file, reads in both:
        with contextlib.suppress(OSError):
            target = str(Path(f"/proc/{process.pid}/fd/{file}").readlink())
            links.append(_link(target, process.pid, reads, ends))
    # A thread that polls has pipes of its own among them, to be woken by: they say nothing.
    telling = [link for link in links if not (link.only_own and len(links) > 1)]
    return tuple(dict.fromkeys(telling))


def _opening(pid: int, name: str, args: tuple[int, ...]) -> Link | None:
    """The file that it tries to open: a named pipe, unless it is a device or a lock in its way."""
    place = _OPENS[name]
    if len(args) < place + 2:
        return None
    path = os.fsdecode(_memory(pid, args[place], _LONGEST_PATH).partition(b"\0")[0])
    if not path:
        return None
    folder = f"fd/{args[0]}" if place and args[0] & 0xFFFFFFFF != _AT_FDCWD else "cwd"
    base = "root" if path.startswith("/") else folder
    told = Path(path).name
    with contextlib.suppress(OSError, ValueError):
        if stat.S_ISFIFO(Path(f"/proc/{pid}/{base}/{path}").stat().st_mode):
            flags = args[place + 1] if name in ("open", "openat") else None
            access = {None: "at the other end", _READ_ONLY: "for writing"}
            way = access.get(flags if flags is None else flags & _ACCESS, "for reading")
            return Link(told=f"the pipe {told}, which nobody has open {way}")
    return Link(told=f"the file {told} to be opened")


def _link(target: str, pid: int, reads: bool | None, ends: Ends) -> Link:
    if target.startswith("pipe:"):
        return ends.pipe(target, pid, reads)
    if target.startswith("socket:"):
        return ends.socket(target, pid)
    if target.startswith(_TERMINALS):
        return Link(told="what is typed at its terminal" if reads is not False else "its terminal")
    if target.startswith("anon_inode:"):
        kind = target.removeprefix("anon_inode:").strip("[]")
        return Link(told=f"an {kind}", only_own=kind == "eventfd")
    return Link(told=f"the file {Path(target).name}")


def _files(pid: int, name: str, args: tuple[int, ...]) -> list[int]:
    """The numbers of the files that a system call waits for."""
    if name in _POLLS:
        data = _memory(pid, args[0], _POLLFD.size * min(args[1], _MOST))
        whole = len(data) - len(data) % _POLLFD.size
        return [file for file, events, _ in _POLLFD.iter_unpack(data[:whole]) if events]
    if name in _SELECTS:
        size = (min(args[0], 1024) + 7) // 8
        sets = [int.from_bytes(_memory(pid, place, size), "little") for place in args[1:4] if place]
        return [file for file in range(args[0]) if any(one >> file & 1 for one in sets)]
    if name in _EPOLLS:
        return [int(number) for number in re.findall(r"^tfd:\s*(\d+)", _info(pid, args[0]), re.M)]
    return [args[0]] if args and name not in _NO_FILES else []


def _memory(pid: int, address: int, size: int) -> bytes:
    with contextlib.suppress(OSError, OverflowError), open(f"/proc/{pid}/mem", "rb", 0) as memory:
        return os.pread(memory.fileno(), size, address)
    return b""


def _access(pid: int, file: str) -> int | None:
    found = re.search(r"^flags:\s*(\d+)", _info(pid, file), re.M)
    return int(found[1], 8) & _ACCESS if found else None


def _info(pid: int, file: str | int) -> str:
    try:
        return Path(f"/proc/{pid}/fdinfo/{file}").read_text()
    except OSError:
        return ""


def _opened(pid: int) -> Iterator[tuple[str, str]]:
    """Number and target of each open file of a process, as far as they can be read."""
    try:
        files = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for file in files:
        with contextlib.suppress(OSError):
            yield file.name, str(file.readlink())


def _tcp_rows(pid: int) -> list[tuple[str, str, str, int]]:
    """Local and remote address, state and inode of each TCP socket that `pid` could see."""
    rows = []
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            rows.append((_plain(fields[1]), _plain(fields[2]), fields[3], int(fields[9])))
    return rows


def _plain(address: str) -> str:
    """An IPv4 address that is written as one of IPv6, as it is without that."""
    return address.removeprefix("0000000000000000FFFF0000")


def _is_loopback(address: str) -> bool:
    host = address.partition(":")[0]
    return host.endswith("7F") if len(host) == 8 else host == "0" * 24 + "01000000"


def _unix_peers() -> dict[int, int]:
    """Inode to inode, of the local sockets that are connected: only netlink tells."""
    request = struct.pack("<BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_PEER, 0, 0)
    head = struct.pack("<IHHII", 16 + len(request), _DIAG_BY_FAMILY, _DUMP, 1, 0)
    peers: dict[int, int] = {}
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asked,
    ):
        asked.settimeout(1.0)
        asked.send(head + request)
        while not _take(asked.recv(1 << 16), peers):
            pass
    return peers


def _take(answer: bytes, peers: dict[int, int]) -> bool:
    """Take a part of the kernel's answer; whether it was the last."""
    place = 0
    while place + 16 <= len(answer):
        length, kind = struct.unpack_from("<IH", answer, place)
        if kind in (_DONE, _ERROR) or length < 16:
            return True
        (inode,) = struct.unpack_from("<I", answer, place + 20)
        attribute = place + 32
        while attribute + 4 <= place + length:
            size, name = struct.unpack_from("<HH", answer, attribute)
            if name == _PEER and size >= 8:
                (peers[inode],) = struct.unpack_from("<I", answer, attribute + 4)
            attribute += max(4, size + 3 & ~3)
        place += length + 3 & ~3
    return not answer
