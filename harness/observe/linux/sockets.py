"""Sockets: who is connected to whom, and what waits in between. Linux only.

/proc lists those of TCP and UDP. Which local socket is connected to which one, only the kernel's
socket diagnosis tells, and only of one's own network namespace.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from harness.model.world import Link, LinkKind
from harness.observe.linux import file_table, reading
from harness.observe.linux.file_table import FileTable

_NETLINK_SOCK_DIAG, _DIAG_BY_FAMILY, _DUMP, _DONE, _ERROR = 4, 20, 0x301, 3, 2
_SHOW_NAME, _SHOW_PEER, _SHOW_PENDING, _SHOW_QUEUES = 0x01, 0x04, 0x08, 0x10
_NAME, _PEER, _PENDING, _QUEUES = 0, 2, 3, 4
_LISTENING, _LISTENS = 10, "0A"
_ESTABLISHED, _SYN_SENT, _SYN_RECEIVED = "01", "02", "03"
_STREAM, _SEQPACKET = 1, 5
_PROTOCOLS = ("tcp", "udp")


class Local(NamedTuple):
    """A socket of this machine alone, as the kernel's socket diagnosis has it."""

    type: int
    listens: bool
    peer: int | None
    """The inode of the socket at the other end."""
    queued: int | None
    named: bool
    """True if it has a name, by which anybody could have connected to it."""
    pending: tuple[int, ...] = ()
    """The sockets whose connection it has yet to accept, by inode."""


class Row(NamedTuple):
    """A line of /proc/net/tcp, tcp6, udp or udp6."""

    protocol: str
    local: str
    remote: str
    """Address and port, in hexadecimal digits; of IPv4 always four bytes."""
    state: str
    queued: int
    retransmits: int
    inode: int


class Sockets:
    """The sockets of this machine, as of the first question about each network namespace."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._locals: dict[int, Local] | None = None
        self._rows: dict[str, list[Row]] = {}

    def link(self, target: str, pid: int) -> Link:
        """The other end of a socket of `pid` that is named so."""
        inode = int(re.sub(r"\D", "", target))
        if self._locals is None:
            self._locals = locals_()
        if inode in self._locals:
            return self._local(inode, self._locals, pid)
        row = next((row for row in self._namespace(pid) if row.inode == inode), None)
        if row is not None:
            return self._internet(row, pid)
        if f" {inode}".encode() in reading.read(f"/proc/{pid}/net/unix"):
            return Link(told="a local socket", kind="local_socket", complete=False)
        return Link(told="a socket", kind="socket", complete=False)

    def _local(self, inode: int, known: dict[int, Local], pid: int) -> Link:
        end = known[inode]
        if end.listens:
            told = "a connection to its local socket"
            return Link(told=told, kind="local_socket", reopenable=True)
        if not end.peer:
            listeners = [number for number, one in known.items() if inode in one.pending]
            if listeners:
                told = "an unaccepted connection to a local socket"
                return self._unaccepted(told, "local_socket", listeners, pid)
        holders = [] if end.peer is None else self._table.holders(f"socket:[{end.peer}]")
        others = file_table.others(holders, pid)
        peer = known.get(end.peer or 0)
        named = end.named or (peer is not None and peer.named)
        return Link(
            told="a local socket",
            kind="local_socket",
            peers=others,
            only_own=bool(holders) and not others,
            also_own=bool(others) and any(one.pid == pid for one in holders),
            # Who holds a socket that exists and that nobody has open cannot be seen.
            complete=bool(holders) and self._table.complete(pid, anybody=named),
            # To one of datagrams, anybody can send who finds it.
            reopenable=end.type not in (_STREAM, _SEQPACKET),
            queued=end.queued,
        )

    def _internet(self, row: Row, pid: int) -> Link:
        port = _port(row.local)
        if row.state == _LISTENS:
            return Link(told=f"a connection to its port {port}", kind="tcp", reopenable=True)
        if row.protocol == "udp" and not _port(row.remote):
            return Link(told=f"a message to its port {port}", kind="udp", reopenable=True)
        ends = [
            one
            for one in self._namespace(pid)
            if (one.protocol, one.local, one.remote) == (row.protocol, row.remote, row.local)
        ]
        here = bool(ends) or _of_this_machine(row)
        if here and not ends and row.protocol == "udp":
            # Who serves many has a socket that is connected to none of them.
            free = [one for one in self._namespace(pid) if not _port(one.remote)]
            ends = [one for one in free if _is_at(one, row)]
        if here and (listeners := _accepting(row, ends, self._namespace(pid))):
            told = f"an unaccepted connection to port {_port(row.remote)} of this machine"
            return self._unaccepted(told, "tcp", listeners, pid)
        holders = [one for end in ends for one in self._table.holders(f"socket:[{end.inode}]")]
        others = file_table.others(holders, pid)
        where = "of this machine" if here else "of another machine"
        return Link(
            told=f"a socket to port {_port(row.remote)} {where}",
            kind="tcp" if row.protocol == "tcp" else "udp",
            peers=others,
            only_own=bool(holders) and not others,
            remote=None if here else address(row.remote),
            complete=here and bool(holders) and self._table.complete(pid, anybody=True),
            reopenable=row.protocol == "udp",
            queued=row.queued,
            retransmits=row.retransmits if row.protocol == "tcp" else None,
        )

    def _unaccepted(self, told: str, kind: LinkKind, listeners: Sequence[int], pid: int) -> Link:
        """The link of a connection to who listens, which nobody has at its other end yet."""
        holders = [one for each in listeners for one in self._table.holders(f"socket:[{each}]")]
        others = file_table.others(holders, pid)
        return Link(
            told=told,
            kind=kind,
            peers=others,
            only_own=bool(holders) and not others,
            complete=False,
            reopenable=True,
        )

    def _namespace(self, pid: int) -> list[Row]:
        try:
            name = os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            name = f"of {pid}"
        if name not in self._rows:
            self._rows[name] = [
                row
                for protocol in _PROTOCOLS
                for version in ("", "6")
                for row in parse(protocol, reading.read(f"/proc/{pid}/net/{protocol}{version}"))
            ]
        return self._rows[name]


def _accepting(row: Row, ends: Sequence[Row], rows: Sequence[Row]) -> list[int]:
    """The sockets that are to accept a connection of TCP, by inode; none where it is accepted.

    The other end of one that is not belongs to nobody, or is not there yet.
    """
    waits = all(not end.inode and end.state in (_ESTABLISHED, _SYN_RECEIVED) for end in ends)
    if not waits or row.state != (_ESTABLISHED if ends else _SYN_SENT) or row.protocol != "tcp":
        return []
    return [
        one.inode
        for one in rows
        if one.protocol == "tcp" and one.state == _LISTENS and _is_at(one, row)
    ]


def _is_at(one: Row, row: Row) -> bool:
    """Check whether a socket has the address that another one has its other end at."""
    return (one.protocol, _port(one.local)) == (row.protocol, _port(row.remote)) and (
        one.local == row.remote or _any_address(one.local)
    )


def _any_address(text: str) -> bool:
    return not text.partition(":")[0].strip("0")


def parse(protocol: str, text: bytes) -> list[Row]:
    rows = []
    for line in text.decode("ascii", "replace").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9:
            sent, _, received = fields[4].partition(":")
            rows.append(
                Row(
                    protocol,
                    _plain(fields[1]),
                    _plain(fields[2]),
                    fields[3],
                    int(sent, 16) + int(received, 16),
                    int(fields[6], 16),
                    int(fields[9]),
                )
            )
    return rows


def address(text: str) -> str:
    """`0500000A:01BB` as people write it: `10.0.0.5:443`."""
    host = _host(text)
    return f"[{host}]:{_port(text)}" if host.version == 6 else f"{host}:{_port(text)}"


def _host(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    digits = text.partition(":")[0]
    words = (int(digits[place : place + 8], 16) for place in range(0, len(digits), 8))
    # Each word is written as the number that its bytes are on this machine.
    return ipaddress.ip_address(b"".join(struct.pack("=I", word) for word in words))


def _port(text: str) -> int:
    return int(text.partition(":")[2], 16)


def _plain(text: str) -> str:
    """An IPv4 address that is written as one of IPv6, as it is without that."""
    return text.removeprefix("0000000000000000FFFF0000")


def _of_this_machine(row: Row) -> bool:
    host = _host(row.remote)
    return host.is_loopback or host == _host(row.local)


def locals_() -> dict[int, Local]:
    """The local sockets of this network namespace, by inode; empty if the kernel does not tell."""
    shown = _SHOW_NAME | _SHOW_PEER | _SHOW_PENDING | _SHOW_QUEUES
    request = struct.pack("<BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, shown, 0, 0)
    head = struct.pack("<IHHII", 16 + len(request), _DIAG_BY_FAMILY, _DUMP, 1, 0)
    found: dict[int, Local] = {}
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asked,
    ):
        asked.settimeout(1.0)
        asked.send(head + request)
        while not take(asked.recv(1 << 16), found):
            pass
    return found


def take(answer: bytes, found: dict[int, Local]) -> bool:
    """Take a part of the kernel's answer; whether it was the last."""
    place = 0
    while place + 16 <= len(answer):
        length, kind = struct.unpack_from("<IH", answer, place)
        if kind in (_DONE, _ERROR) or length < 16:
            return True
        _, type_, state, _, inode = struct.unpack_from("<BBBBI", answer, place + 16)
        peer = queued = None
        named, pending = False, ()
        attribute = place + 32
        while attribute + 4 <= place + length:
            size, name = struct.unpack_from("<HH", answer, attribute)
            if name == _PEER and size >= 8:
                (peer,) = struct.unpack_from("<I", answer, attribute + 4)
            elif name == _NAME:
                named = size > 4
            elif name == _PENDING:
                pending = struct.unpack_from(f"<{(size - 4) // 4}I", answer, attribute + 4)
            elif name == _QUEUES and size >= 12:
                queued = sum(struct.unpack_from("<II", answer, attribute + 4))
            attribute += max(4, size + 3 & ~3)
        listens = state == _LISTENING
        queued = None if listens else queued
        found[inode] = Local(type_, listens, peer, queued, named, pending)
        place += length + 3 & ~3
    return not answer
