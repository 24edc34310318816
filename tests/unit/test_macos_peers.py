"""The other ends of pipes and streams on macOS, from what libproc answers."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from socket import htons

import pytest
from observations import process

from harness.model.world import Link, Relations
from harness.observe.macos import kernel, peers
from harness.observe.macos import vnodes as vnodes_module
from harness.observe.macos.layouts import PipeFdInfo, TaskAllInfo
from harness.observe.macos.socket_layouts import FilePath, SocketFdInfo

VNODE, SOCKET, PIPE = 1, 2, 6
TREE, STRANGER = 7, 70


def pipe(own: int, peer: int, flags: int = 1, queued: int = 0) -> tuple[int, object]:
    answer = PipeFdInfo()
    answer.pfi.fi_openflags = flags
    answer.pipeinfo.pipe_handle, answer.pipeinfo.pipe_peerhandle = own, peer
    answer.pipeinfo.pipe_stat.vst_size = queued
    return PIPE, answer


def unix(own: int, peer: int, kind: int = 1) -> tuple[int, object]:
    answer = SocketFdInfo()
    answer.psi.soi_so, answer.psi.soi_kind, answer.psi.soi_type = own, 3, kind
    answer.psi.soi_proto.pri_un.unsi_conn_so = peer
    return SOCKET, answer


def tcp(here: tuple[str, int], there: tuple[str, int], state: int = 4) -> tuple[int, object]:
    answer = SocketFdInfo()
    answer.psi.soi_kind, answer.psi.soi_type = 2, 1
    answer.psi.soi_proto.pri_tcp.tcpsi_state = state
    ends = answer.psi.soi_proto.pri_tcp.tcpsi_ini
    ends.insi_lport, ends.insi_fport = htons(here[1]), htons(there[1])
    for (host, _), field in ((here, ends.insi_laddr), (there, ends.insi_faddr)):
        packed = ipaddress.ip_address(host).packed
        field[16 - len(packed) :] = list(packed)
        ends.insi_vflag = 1 if len(packed) == 4 else 2
    return SOCKET, answer


def named(path: bytes, kind: int = 0, flags: int = 1, inode: int = 0) -> tuple[int, object]:
    answer = FilePath()
    answer.path, answer.kind = path, kind
    answer.pfi.fi_openflags, answer.stat.vst_ino = flags, inode
    return VNODE, answer


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Relations]:
    """`read({pid: its files}, pids of the tree)`: who is at the other ends."""

    def asked(files: dict[int, list[tuple[int, object]]], *tree: int, front: int = 1):
        task = TaskAllInfo()
        task.pbsd.pbi_uid, task.pbsd.pbi_pgid, task.pbsd.e_tpgid = 501, 9, front
        put = monkeypatch.setattr
        put(kernel, "task", lambda pid: task)
        put(kernel, "of_user", lambda uid: tuple(files) if uid == 501 else ())
        put(kernel, "files", lambda pid: tuple((n, k) for n, (k, _) in enumerate(files[pid])))
        for name in ("pipe", "socket", "path"):
            put(kernel, name, lambda pid, number: files[pid][number][1])
        return peers.relations([process(pid) for pid in tree or (TREE,)])

    return asked


def the_link(found: Relations) -> Link:
    (link,) = found.files[TREE]
    return link


def test_a_pipe_has_whoever_holds_its_other_end(read):
    found = read({TREE: [pipe(1, 2, queued=3)], 8: [pipe(2, 1, flags=2)], STRANGER: []}, TREE, 8)
    link = the_link(found)
    assert (link.kind, link.peers, link.reads, link.queued) == ("pipe", (8,), True, 3)
    assert found.files[8][0].reads is False
    assert found.peers == {TREE: (8,), 8: (TREE,)}


def test_those_at_the_other_end_may_be_outside_of_the_tree(read):
    assert the_link(read({TREE: [pipe(1, 2)], STRANGER: [pipe(2, 1)]})).peers == (STRANGER,)
    assert the_link(read({TREE: [unix(1, 2)], STRANGER: [unix(2, 1)]})).peers == (STRANGER,)


@pytest.mark.parametrize("opened", [pipe(1, 2), unix(1, 2)])
def test_an_end_that_is_not_seen_is_not_called_closed(read, opened):
    link = the_link(read({TREE: [opened]}))
    assert (link.peers, link.only_own) == ((), False)
    assert link.kind in ("other", "socket")
    assert "not seen" in link.told
    assert link.unseen is (link.kind == "other")


def test_a_pipe_of_its_own_and_one_that_is_closed(read):
    links = read({TREE: [pipe(1, 2), pipe(2, 1, flags=2), pipe(3, 0)]}).files[TREE]
    assert [link.only_own for link in links] == [True, True]


def test_a_connection_to_this_machine_and_to_another(read):
    here, there = ("127.0.0.1", 52011), ("127.0.0.1", 8000)
    link = the_link(read({TREE: [tcp(here, there)], STRANGER: [tcp(there, here)]}))
    assert (link.peers, link.remote, link.kind) == ((STRANGER,), None, "tcp")
    mapped = tcp(("::ffff:127.0.0.1", 8000), ("::ffff:127.0.0.1", 52011))
    assert the_link(read({TREE: [tcp(here, there)], STRANGER: [mapped]})).peers == (STRANGER,)
    assert the_link(read({TREE: [tcp(here, there)]})).remote is None
    far = [tcp(("10.0.0.2", 52011), ("10.0.0.5", 443)), tcp(("fd00::2", 9), ("fd00::5", 443))]
    remotes = [link.remote for link in read({TREE: far}).files[TREE]]
    assert remotes == ["10.0.0.5:443", "[fd00::5]:443"]
    listens = the_link(read({TREE: [tcp(("0.0.0.0", 80), ("0.0.0.0", 0), state=1)]}))
    assert (listens.peers, listens.remote, listens.told) == ((), None, "a connection to port 80")


def test_of_datagrams_it_is_told_that_they_may_come(read):
    link = the_link(read({TREE: [unix(1, 2, kind=2), unix(3, 4, kind=2)]}))
    assert (link.kind, link.peers) == ("udp", ())


def test_a_file_is_told_with_the_processes_of_the_tree_that_have_it_too(read):
    log, lock = named(b"/tmp/out.log", 1, flags=2, inode=3), named(b"/tmp/it.lock", 1, 3, inode=4)
    null, device = named(b"/dev/null", 4), named(b"/dev/cu.usbserial-1", 4)
    files = {TREE: [null, log, log, lock, device], 8: [null, null, null, lock], STRANGER: [lock]}
    found = read(files, TREE, 8)
    assert [(one.told, one.kind, one.peers, one.reads) for one in found.files[TREE]] == [
        ("the file it.lock", "file", (8,), None),
        ("the device cu.usbserial-1", "device", (), True),
        ("the file out.log", "file", (), False),
    ]
    assert found.peers == {}


def test_a_file_system_that_does_not_answer_holds_nobody_up(read, monkeypatch):
    read({TREE: [named(b"/Volumes/gone/data", 1)], 8: [named(b"/tmp/a", 1)]}, TREE, 8)
    path, answers, asked = kernel.path, threading.Event(), []

    def silent(pid, number):
        asked.append(pid)
        if pid == TREE:
            answers.wait()
        return path(pid, number)

    monkeypatch.setattr(kernel, "path", silent)
    monkeypatch.setattr(vnodes_module, "ANSWER_S", 0.05)
    vnodes = vnodes_module.Vnodes()
    found = vnodes.of([TREE, 8])
    (held,), (behind,) = found[TREE], found[8]
    assert held.told == "a file whose file system does not answer"
    assert behind.unseen
    # It is asked about the others, and once it has answered about this one again.
    found = vnodes.of([TREE, 8])
    assert (found[TREE], found[8][0].told) == ((held,), "the file a")
    assert asked == [TREE, 8]
    answers.set()
    while vnodes.of([TREE])[TREE] == (held,):
        pass


def test_terminals_and_named_pipes(read):
    tty, other = named(b"/dev/ttys003"), named(b"/dev/null")
    files = [tty, tty, other, named(b"/tmp/feed", kind=7)]
    # The group in front; 0: it has no terminal of its own, and yet reads one.
    for front, person in ((9, True), (1, False), (0, True)):
        fifo, terminal = read({TREE: files}, front=front).files[TREE]
        assert (terminal.kind, terminal.person) == ("terminal", person)
        assert (fifo.told, fifo.kind, fifo.reopenable) == ("the pipe feed", "fifo", True)


def test_a_named_pipe_has_who_else_of_the_tree_has_it_open(read):
    reads, writes = named(b"/tmp/feed", 7, inode=5), named(b"/tmp/feed", 7, flags=2, inode=5)
    found = read({TREE: [reads], 8: [writes], STRANGER: [writes]}, TREE, 8)
    assert (the_link(found).peers, the_link(found).reads) == ((8,), True)
    assert found.peers == {TREE: (8,), 8: (TREE,)}


@pytest.mark.parametrize(
    ("files", "typed"),
    [
        ([b"/dev/ttys003"] * 3, True),
        ([b"/dev/null", b"/dev/ttys003", b"/dev/ttys003"], False),  # its output alone
        ([b"/dev/null", b"/dev/ttys003", b"/dev/ttys003", b"/dev/tty"], True),
        ([b"/dev/null", b"/dev/ttys003", b"/dev/ttys003", b"/dev/ttys003"], True),
        ([b"/dev/null", b"/dev/null", b"/dev/null", b"/dev/tty.usbserial-1420"], False),
    ],
)
def test_what_is_typed_is_read_from_an_input(read, files, typed):
    found = read({TREE: [named(path) for path in files]}, front=9)
    assert [link.kind for link in found.files.get(TREE, ())] == ["terminal"] * typed


def test_what_is_refused_is_told_to_be_hidden(read, monkeypatch):
    read({TREE: []})
    for name in ("pipe", "socket", "path", "task"):
        monkeypatch.setattr(kernel, name, lambda *asked: None)
    monkeypatch.setattr(kernel, "files", lambda pid: ((0, PIPE), (1, SOCKET), (2, VNODE)))
    hidden = peers.relations([process(TREE)]).files[TREE]
    assert [link.unseen for link in hidden] == [True] * 3
    assert len({link.told for link in hidden}) == 3
