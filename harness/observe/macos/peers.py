"""The pipes and sockets of processes on macOS, and the processes at their other ends.

libproc tells the number of each end of a pipe and of a unix socket, and that of its peer. It does
not tell which of its files a thread waits for. It has never run on a Mac (docs/internals/macos.md).
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from socket import ntohs

import msgspec

from harness.model import Process
from harness.model.world import Link, LinkKind, Relations
from harness.observe.macos import kernel
from harness.observe.macos.socket_layouts import InternetInfo, SocketInfo
from harness.observe.macos.vnodes import Vnodes, access

_MOST = 64
"""Processes of a tree that are looked into, at most."""
_SOCKET, _PIPE = 2, 6
_TCP, _UNIX = 2, 3
"""soi_kind."""
_STREAM = 1
_LISTENS = 1
"""tcpsi_state."""
_IPV4 = 1
_UNSEEN = "whose other end is not seen"
_DATAGRAMS = Link(told="a socket for datagrams", kind="udp", complete=False)
_HIDDEN_PIPE = Link(told="a pipe that is not shown", complete=False, unseen=True)
_HIDDEN_SOCKET = Link(told="a socket that is not shown", kind="socket", complete=False, unseen=True)

Key = tuple[object, ...]


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a pipe or of a stream, that a process has open."""

    pid: int
    kind: LinkKind
    told: str
    own: Key
    peer: Key | None
    """The other end; None where there is none, as of a socket that listens."""
    reads: bool | None = None
    """True of an end that is read, False of one that is written to, None of both."""
    queued: int = 0
    """Bytes that wait to be read; of an end that is written to, those that were written."""
    remote: str | None = None


def relations(processes: Sequence[Process], vnodes: Vnodes | None = None) -> Relations:
    """The pipes, streams, terminals and files of each of `processes`, with those at their other
    ends. `vnodes` remembers which file systems do not answer."""
    pids = [process.pid for process in processes[:_MOST] if process.state != "Z"]
    told = {pid: tuple(_streams(pid)) for pid in pids}
    ends = {pid: [one for one in own if isinstance(one, Opened)] for pid, own in told.items()}
    beside = {pid: {one: None for one in own if isinstance(one, Link)} for pid, own in told.items()}
    holders: dict[Key, set[int]] = defaultdict(set)
    _hold(holders, (one for own in ends.values() for one in own))
    wanted = {one.peer for own in ends.values() for one in own if one.peer is not None}
    if wanted - holders.keys() and pids:
        for pid in kernel.of_same_user(pids[0]):
            if pid not in pids:
                _hold(holders, (one for one in _streams(pid) if isinstance(one, Opened)))
    named = (vnodes or Vnodes()).of(pids)
    files = {
        pid: (*(_link(one, holders) for one in own), *beside[pid], *named[pid])
        for pid, own in ends.items()
    }
    peers = {
        pid: tuple(
            dict.fromkeys(peer for link in links if link.kind != "file" for peer in link.peers)
        )
        for pid, links in files.items()
    }
    return Relations(
        files={pid: links for pid, links in files.items() if links},
        peers={pid: others for pid, others in peers.items() if others},
    )


def _hold(holders: dict[Key, set[int]], opened: Iterable[Opened]) -> None:
    for one in opened:
        holders[one.own].add(one.pid)


def _link(one: Opened, holders: dict[Key, set[int]]) -> Link:
    held = holders.get(one.peer, set()) if one.peer is not None else set()
    others = tuple(sorted(held - {one.pid}))
    kind, told, remote = one.kind, one.told, None
    # Without another end who waits at a pipe would be told so: somebody has it.
    unseen = one.kind == "pipe" and not held
    if not held:
        # A process of another user may hold it: nobody is known, and nobody is said to be dead.
        kind = "other" if one.kind == "pipe" else "socket"
        remote = one.remote
        told = told if remote or one.peer is None else f"{told} {_UNSEEN}"
    return Link(
        told=told,
        kind=kind,
        peers=others,
        only_own=bool(held) and not others,
        complete=False,
        queued=one.queued,
        reads=one.reads,
        remote=remote,
        unseen=unseen,
    )


def _streams(pid: int) -> Iterator[Opened | Link]:
    """Its pipes and sockets. Of what has no other end that could be followed, that it is there."""
    for number, kind in kernel.files(pid):
        found: Opened | Link | None = None
        if kind == _PIPE:
            found = _pipe(pid, number)
        elif kind == _SOCKET:
            found = _socket(pid, number)
        if found is not None:
            yield found


def _pipe(pid: int, number: int) -> Opened | Link | None:
    answer = kernel.pipe(pid, number)
    if answer is None:
        return _HIDDEN_PIPE
    if not answer.pipeinfo.pipe_peerhandle:
        return None  # who reads or writes at a closed pipe is told so, and does not wait
    info = answer.pipeinfo
    return Opened(
        pid=pid,
        kind="pipe",
        told="a pipe",
        own=("pipe", info.pipe_handle),
        peer=("pipe", info.pipe_peerhandle),
        reads=access(answer.pfi.fi_openflags),
        queued=max(info.pipe_stat.vst_size, 0),
    )


def _socket(pid: int, number: int) -> Opened | Link | None:
    answer = kernel.socket(pid, number)
    if answer is None:
        return _HIDDEN_SOCKET
    if answer.psi.soi_type != _STREAM:
        return _DATAGRAMS
    info = answer.psi
    if info.soi_kind == _UNIX:
        peer = info.soi_proto.pri_un.unsi_conn_so
        return Opened(
            pid=pid,
            kind="local_socket",
            told="a socket" if peer else "a socket that listens, or that nobody has opened",
            own=("unix", info.soi_so),
            peer=("unix", peer) if peer else None,
            queued=info.soi_rcv.sbi_cc,
        )
    return _tcp(pid, info) if info.soi_kind == _TCP else None


def _tcp(pid: int, info: SocketInfo) -> Opened:
    ends = info.soi_proto.pri_tcp.tcpsi_ini
    here = (_address(ends, ends.insi_laddr), ntohs(ends.insi_lport & 0xFFFF))
    there = (_address(ends, ends.insi_faddr), ntohs(ends.insi_fport & 0xFFFF))
    listens = info.soi_proto.pri_tcp.tcpsi_state == _LISTENS or not there[1]
    local = there[0].is_loopback or there[0] == here[0]
    host = f"[{there[0]}]" if there[0].version == 6 else str(there[0])
    told = f"a socket to port {there[1]} of this machine" if local else "a socket"
    return Opened(
        pid=pid,
        kind="tcp",
        told=f"a connection to port {here[1]}" if listens else told,
        own=("tcp", here, there),
        peer=None if listens else ("tcp", there, here),
        queued=info.soi_rcv.sbi_cc,
        remote=None if listens or local else f"{host}:{there[1]}",
    )


def _address(
    ends: InternetInfo, raw: Iterable[int]
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address. That of IPv4 lies in the last four bytes, whichever family the socket has."""
    packed = bytes(raw)
    if ends.insi_vflag & _IPV4:
        return ipaddress.IPv4Address(packed[12:])
    address = ipaddress.IPv6Address(packed)
    return address.ipv4_mapped or address
