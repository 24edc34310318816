"""What the kernel's texts say of files, sockets, locks and mounts, as they were recorded."""

from __future__ import annotations

import os
import socket
import struct
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.model import Process, Thread  # noqa: E402
from harness.model.world import Link  # noqa: E402
from harness.observe.linux import (  # noqa: E402
    file_peers,
    file_table,
    locks,
    mounts,
    reading,
    socket_timeout,
    sockets,
    waited_files,
)
from harness.observe.linux.waited_files import Waited  # noqa: E402

TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 71 1 0 100 0 0 10 0
   1: 0F02000A:D1F2 0500000A:01BB 01 0000A17F:00000000 01:00000313 00000007  1000        0 72 2 0 20 4 30 10 -1
   2: 0100007F:D1F4 0100007F:1F90 01 00000000:00000010 00:00000000 00000000  1000        0 73 1 0 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:D1F4 01 00000000:00000000 00:00000000 00000000  1000        0 74 1 0 20 4 30 10 -1
   4: 0100007F:1F90 0100007F:D1F6 06 00000000:00000000 03:00000F27 00000000     0        0 0 3 0
"""  # noqa: E501
TCP6 = b"""\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000F02000A:1F90 0000000000000000FFFF00000900000A:E000 01 00000000:00000000 00:00000000 00000000  1000        0 75 1 0 20 4 30 10 -1
   1: B80D0120000000000000000001000000:1F90 B80D0120000000000000000002000000:E000 02 00000001:00000000 01:00000000 00000002  1000        0 76 1 0 20 4 30 10 -1
"""  # noqa: E501


@pytest.fixture
def ends(monkeypatch):
    """The sockets of a process of this name space that has the above open, and of a second one."""
    texts = {"/proc/5/net/tcp": TCP, "/proc/5/net/tcp6": TCP6}
    monkeypatch.setattr(reading, "read", lambda path: texts.get(path, b""))
    monkeypatch.setattr(reading, "numbers", lambda folder: [5, 6] if folder == "/proc" else [])
    files = {5: [(3, "socket:[73]"), (4, "socket:[72]")], 6: [(9, "socket:[74]")]}
    monkeypatch.setattr(file_table, "opened", files.get)
    monkeypatch.setattr(sockets, "locals_", dict)
    return sockets.Sockets(file_table.FileTable())


def test_a_peer_on_another_machine_is_named_with_what_it_has_not_answered(ends):
    link = ends.link("socket:[72]", 5)
    assert (link.kind, link.remote, link.peers) == ("tcp", "10.0.0.5:443", ())
    assert (link.queued, link.retransmits) == (0xA17F, 7)
    assert not link.complete
    assert link.told == "a socket to port 443 of another machine"


def test_a_peer_on_this_machine_is_who_holds_the_row_with_the_addresses_swapped(ends):
    link = ends.link("socket:[73]", 5)
    assert (link.peers, link.remote, link.queued, link.complete) == ((6,), None, 16, True)
    assert link.told == "a socket to port 8080 of this machine"


def test_who_listens_has_no_peer_and_its_backlog_is_no_data(ends):
    link = ends.link("socket:[71]", 5)
    assert link == Link(told="a connection to its port 8080", kind="tcp", reopenable=True)


@pytest.mark.parametrize(("inode", "remote"), [(75, "10.0.0.9:57344"), (76, "[2001:db8::2]:57344")])
def test_addresses_are_written_as_people_write_them(ends, inode, remote):
    assert ends.link(f"socket:[{inode}]", 5).remote == remote


def test_a_socket_of_which_nothing_is_known_is_said_to_be_incomplete(ends):
    link = ends.link("socket:[999]", 5)
    assert (link.kind, link.complete, link.only_own) == ("socket", False, False)


def diagnosis(inode: int, state: int, *attributes: tuple[int, bytes], type_: int = 1) -> bytes:
    body = struct.pack("<BBBBIII", 1, type_, state, 0, inode, 0, 0)
    for name, value in attributes:
        body += struct.pack("<HH", 4 + len(value), name) + value
        body += bytes(-len(body) % 4)
    return struct.pack("<IHHII", 16 + len(body), 20, 2, 1, 0) + body


def test_the_kernels_diagnosis_of_local_sockets_is_read_in_parts():
    found: dict[int, sockets.Local] = {}
    first = diagnosis(10, 1, (2, struct.pack("<I", 11)), (4, struct.pack("<II", 3, 4)))
    second = diagnosis(12, 10, (0, b"/run/x"), (4, struct.pack("<II", 2, 5)))
    assert not sockets.take(first + second, found)
    assert sockets.take(struct.pack("<IHHII", 20, 3, 2, 1, 0) + bytes(4), found)
    assert found == {
        10: sockets.Local(1, False, 11, 7, False),
        12: sockets.Local(1, True, None, None, True),
    }
    assert sockets.take(b"", {})


def test_who_is_yet_to_accept_a_local_connection_is_at_its_other_end(ends, monkeypatch):
    found: dict[int, sockets.Local] = {}
    waits = diagnosis(73, 1, (2, struct.pack("<I", 0)))
    listens = diagnosis(74, 10, (0, b"/run/x"), (3, struct.pack("<II", 70, 73)))
    sockets.take(waits + listens, found)
    assert found[74].pending == (70, 73)
    monkeypatch.setattr(sockets, "locals_", lambda: found)
    link = ends.link("socket:[73]", 5)
    assert (link.told, link.peers) == ("an unaccepted connection to a local socket", (6,))
    assert link.reopenable, "which of its holders accepts it nobody can say"


SERVERS = {
    "the address": (b"0100007F:1F90", b"00000000:0000", (6,)),
    "any address": (b"00000000:1F90", b"00000000:0000", (6,)),
    "any of IPv6": (b"0" * 32 + b":1F90", b"0" * 32 + b":0000", (6,)),
    "another address": (b"0200007F:1F90", b"00000000:0000", ()),
    "another port": (b"0100007F:1F91", b"00000000:0000", ()),
    "connected to us": (b"0100007F:1F90", b"0100007F:C350", (6,)),
    "connected to another one": (b"0100007F:1F90", b"0100007F:C351", ()),
}


@pytest.mark.parametrize(("local", "remote", "peers"), SERVERS.values(), ids=SERVERS)
def test_who_serves_datagrams_to_all_is_at_the_other_end(ends, monkeypatch, local, remote, peers):
    rest = b" 07 00000000:00000000 00:00000000 00000000 0 0 %d 2 0 0\n"
    rows = b" 0: %s %s" % (local, remote) + rest % 74
    rows += b" 1: 0100007F:C350 0100007F:1F90" + rest % 73
    monkeypatch.setattr(
        reading, "read", lambda path: b"  sl\n" + rows if path == "/proc/5/net/udp" else b""
    )
    link = ends.link("socket:[73]", 5)
    assert (link.kind, link.peers, link.told) == (
        "udp", peers, "a socket to port 8080 of this machine"
    )  # fmt: skip
    assert link.reopenable, "anybody may send it a datagram who has its address"


LISTENERS = {
    "the address": (b"0100007F:1F90", 74, (6,)),
    "any address": (b"00000000:1F90", 74, (6,)),
    "any of IPv6": (b"0" * 32 + b":1F90", 74, (6,)),
    "another address": (b"0200007F:1F90", 74, None),
    "another port": (b"0100007F:1F91", 74, None),
    "itself": (b"0100007F:1F90", 72, ()),
}


@pytest.mark.parametrize("queued", [True, False])
@pytest.mark.parametrize(("local", "inode", "peers"), LISTENERS.values(), ids=LISTENERS)
def test_who_is_yet_to_accept_a_connection_of_tcp_is_at_its_other_end(
    ends, monkeypatch, local, inode, peers, queued
):
    """It waits in a queue, and its other end belongs to nobody; or the queue is full."""
    state = b"01" if queued else b"02"
    head, rest = b"  sl\n", b" 00000000:00000000 00:00000000 00000000 0 0 %d 1 0\n"
    rows = [b" 0: %s 00000000:0000 0A" % local + rest % inode]
    rows += [b" 1: 0100007F:D1F4 0100007F:1F90 " + state + rest % 73]
    rows += [b" 2: 0100007F:1F90 0100007F:D1F4 01" + rest % 0] * queued
    texts = {"/proc/5/net/tcp": head + b"".join(rows)}
    monkeypatch.setattr(reading, "read", lambda path: texts.get(path, b""))
    link = ends.link("socket:[73]", 5)
    if peers is None:
        assert (link.told, link.peers) == ("a socket to port 8080 of this machine", ())
    else:
        told = "an unaccepted connection to port 8080 of this machine"
        assert (link.told, link.peers, link.only_own) == (told, peers, not peers)


def test_the_timeout_of_a_socket_is_asked_for_in_both_directions():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 25, 500_000))
        told = [
            socket_timeout.seconds(os.getpid(), ours.fileno(), reads) for reads in (True, False)
        ]
        if None in told:
            pytest.skip("this kernel hands out no sockets of other processes")
        assert told == [25.5, 0.0]
    assert socket_timeout.seconds(os.getpid(), 1 << 20, True) is None


INFO = """\
pos:	0
flags:	0100002
mnt_id:	29
ino:	9134
lock:	1: FLOCK  ADVISORY  WRITE 359 fe:00:9134 0 EOF
lock:	2: POSIX  ADVISORY  READ  359 fe:00:9134 10 19
lock:	3: OFDLCK ADVISORY  WRITE -1 fe:00:9134 100 EOF
lock:	4: LEASE  ACTIVE    READ  359 fe:00:9134 0 EOF
"""
WHOLE = (0, 1 << 63)


def test_the_locks_of_an_open_file_are_read_with_their_ranges():
    assert list(locks.parse(INFO)) == [
        (True, False, "fe:00", 9134, *WHOLE),
        (False, True, "fe:00", 9134, 10, 20),
        (False, False, "fe:00", 9134, 100, 1 << 63),
    ]


@pytest.mark.parametrize(
    ("wanted", "stand"),
    [
        (locks.Wanted(3, True, False, *WHOLE), [True, False, False]),
        (locks.Wanted(3, True, True, *WHOLE), [True, False, False]),
        (locks.Wanted(3, False, False, 0, 10), [False, False, False]),
        (locks.Wanted(3, False, False, 0, 11), [False, True, False]),
        (locks.Wanted(3, False, True, 0, 11), [False, False, False]),
        (locks.Wanted(3, False, True, 19, 101), [False, False, True]),
        (locks.Wanted(3, False, False, 20, 100), [False, False, False]),
    ],
)
def test_a_lock_stands_in_the_way_of_what_it_overlaps_and_excludes(wanted, stand):
    held = list(locks.parse(INFO))
    assert [locks.stands(one, wanted, 9134, "fe:00") for one in held] == stand
    assert not any(locks.stands(one, wanted, 9135, "fe:00") for one in held)
    assert not any(locks.stands(one, wanted, 9134, "fe:01") for one in held)
    assert [locks.stands(one, wanted, 9134, None) for one in held] == stand


def test_no_lock_is_waited_for_by_a_call_that_does_not_wait():
    def thread(*args: int) -> Thread:
        return Thread(tid=1, name="a", state="S", cpu_s=0.0, args=(*args, 0, 0, 0))

    assert locks.wanted(1, "flock", thread(3, 2)) == (3, True, False, *WHOLE)
    assert locks.wanted(1, "flock", thread(3, 1)) == (3, True, True, *WHOLE)
    assert locks.wanted(1, "flock", thread(3, 2 | 4)) is None
    assert locks.wanted(1, "fcntl", thread(3, 6, 0)) is None  # F_SETLK
    assert locks.wanted(2**22 + 1, "fcntl", thread(3, 7, 64)) == (3, False, False, *WHOLE)
    assert locks.wanted(1, "fsync", thread(3)) is None


MOUNTS = b"""\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:45 / /mnt/a\\040b rw shared:1 - fuse.sshfs me@host:/x rw,user_id=0
41 27 0:46 / /home rw,relatime shared:1 master:2 - nfs4 server:/home rw
42 41 0:47 / /home/me/local rw - tmpfs tmpfs rw
43 27 0:48 / /data rw - xfs /dev/sdb rw
44 43 0:49 / /data rw - 9p share rw
broken
"""


def test_mounts_are_read_with_their_places_and_kinds():
    found = mounts.parse(MOUNTS)
    assert [one.place for one in found] == [
        "/proc", "/", "/mnt/a b", "/home", "/home/me/local", "/data", "/data",
    ]  # fmt: skip
    assert [one.remote for one in found] == [False, False, True, True, False, False, True]
    assert [one.fuse for one in found] == [False, False, True, False, False, False, False]
    assert mounts.in_maps("0:45") == "00:2d"
    assert mounts.in_maps("259:1") == "103:01"


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/etc/passwd", 27),
        ("/", 27),
        ("/mnt/a b/c", 40),
        ("/mnt/a bc", 27),
        ("/home", 41),
        ("/homes", 27),
        ("/home/me/x", 41),
        ("/home/me/local/x", 42),
        ("/data/x", 44),  # it covers what was mounted there before
    ],
)
def test_a_path_lies_in_the_mount_that_covers_it(path, number):
    assert mounts.of_path(path, mounts.parse(MOUNTS)).id == number


def test_the_mount_of_an_open_file_is_known_by_its_number(monkeypatch):
    monkeypatch.setattr(reading, "read", lambda path: b"pos:\t0\nmnt_id:\t41\n")
    assert mounts.of_file(5, 3, mounts.parse(MOUNTS)).place == "/home"
    monkeypatch.setattr(reading, "read", lambda path: b"")
    assert mounts.of_file(5, 3, mounts.parse(MOUNTS)) is None


EPOLL = {
    4: """\
pos:	0
tfd:        5 events:       19 data:                5  pos:0 ino:2a1 sdev:e
tfd:        6 events:        4 data:                6  pos:0 ino:2a2 sdev:e
tfd:        7 events:       1d data:                7  pos:0 ino:2a3 sdev:8
tfd:        8 events:        0 data:                8  pos:0 ino:2a4 sdev:8
tfd:        9 events: 80000001 data:                9  pos:0 ino:406 sdev:f
tfd:       10 events:        1 data:                a  pos:0 ino:406 sdev:f
""",
    10: "tfd:        4 events:        1 data: 0\ntfd:       11 events:        1 data: 0\n",
}
TARGETS = {5: "pipe:[673]", 6: "pipe:[674]", 7: "pipe:[999]", 8: "/dev/pts/0", 9: "/dev/pts/0",
           10: "anon_inode:[eventpoll]", 4: "anon_inode:[eventpoll]", 11: "/dev/pts/1"}  # fmt: skip


def test_the_members_of_an_epoll_are_those_that_are_still_registered_and_asked_for(monkeypatch):
    monkeypatch.setattr(file_table, "info", lambda pid, file: EPOLL.get(file, ""))
    monkeypatch.setattr(file_table, "target", lambda pid, file: TARGETS.get(file))
    thread = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=232, args=(4, 0, 1, 0, 0, 0))
    # 7 is another pipe by now, nothing is asked of 8, and an epoll in 10's is not looked into.
    files, whole = waited_files.waited(1, thread, "x86_64")
    assert files == [
        Waited(5, True, False), Waited(6, False, False), Waited(9, True, False),
        Waited(4, True, False), Waited(11, True, False),
    ]  # fmt: skip
    assert not whole


@pytest.mark.parametrize(
    ("events", "whole"), [("19", True), ("0", True), ("40000000", True), ("18", False)]
)
def test_who_asks_for_nothing_is_still_woken_by_the_end_unless_it_is_turned_off(
    monkeypatch, events, whole
):
    info = f"tfd: 5 events: 19 data: 0 ino:2a1\ntfd: 6 events: {events} data: 0 ino:2a2\n"
    monkeypatch.setattr(file_table, "info", lambda pid, file: info)
    monkeypatch.setattr(file_table, "target", lambda pid, file: TARGETS.get(file))
    thread = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=232, args=(4, 0, 1, 0, 0, 0))
    assert waited_files.waited(1, thread, "x86_64").whole is whole


@pytest.mark.parametrize("size", [waited_files.MOST, waited_files.MOST + 1])
def test_of_a_large_set_it_is_said_that_not_all_were_looked_into(monkeypatch, size):
    data = b"".join(struct.pack("<ihh", file, 1, 0) for file in range(size))
    info = "".join(f"tfd: {file} events: 1 data: 0\n" for file in range(size))
    monkeypatch.setattr(reading, "memory", lambda pid, place, much: data[:much])
    monkeypatch.setattr(file_table, "info", lambda pid, file: info)
    monkeypatch.setattr(file_table, "target", lambda pid, file: "/dev/null")
    for call in (7, 232):
        args = (64, size, 0, 0, 0, 0)
        thread = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=call, args=args)
        files, whole = waited_files.waited(1, thread, "x86_64")
        assert len(files) == waited_files.MOST
        assert whole == (size == waited_files.MOST)


@pytest.mark.parametrize("most", [1024, 1025])
def test_of_a_select_on_more_files_than_are_looked_at_it_is_said(monkeypatch, most):
    monkeypatch.setattr(reading, "memory", lambda pid, place, size: b"\x08".ljust(size, b"\0"))
    args = (most, 64, 0, 0, 0, 0)
    thread = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=23, args=args)
    files, whole = waited_files.waited(1, thread, "x86_64")
    assert [one.file for one in files] == [3]
    assert whole == (most <= 1024)


OWN = Link(told="an eventfd", kind="eventfd", only_own=True)
PEER = Link(told="a pipe", kind="pipe", peers=(6,))
FIFO = Link(told="the pipe control", kind="fifo", only_own=True, reopenable=True)
HIDDEN = Link(told="an eventfd", kind="eventfd", only_own=True, complete=False)


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        ([OWN, PEER], [PEER]),
        ([OWN], [OWN]),
        # Nothing else could wake it: they are all that there is to tell.
        ([OWN, OWN], [OWN]),
        # Others may hold these, or come to hold them.
        ([FIFO, PEER], [FIFO, PEER]),
        ([HIDDEN, PEER], [HIDDEN, PEER]),
    ],
)
def test_of_a_set_only_what_is_certainly_its_own_says_nothing(monkeypatch, behind, told):
    files = [Waited(number, True, False) for number in range(len(behind))]
    found = waited_files.WaitedFiles(files)
    monkeypatch.setattr(file_peers, "waited", lambda pid, thread, arch: found)
    thread = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=7, args=(64, 2, 0, 0, 0, 0))
    process = Process(pid=1, ppid=0, name="a", state="S", cpu_s=0.0, threads=(thread,))
    ends = file_peers.Ends()
    monkeypatch.setattr(ends, "link", lambda pid, file, reads: behind[file])
    assert list(file_peers.waited_for(process, thread, "x86_64", ends)) == told


def test_the_members_of_a_poll_are_those_with_events(monkeypatch):
    entries = [(3, 1), (4, 4), (5, 0), (-1, 1), (6, 5), (7, 2)]
    data = b"".join(struct.pack("<ihh", file, events, 0) for file, events in entries)
    monkeypatch.setattr(reading, "memory", lambda pid, place, size: data[:size])
    thread = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=7, args=(64, 6, 0, 0, 0, 0))
    files, whole = waited_files.waited(1, thread, "x86_64")
    assert [(one.file, one.reads) for one in files] == [
        (3, True), (4, False), (6, None), (7, None)
    ]  # fmt: skip
    assert not whole, "5 wakes it when its other end is closed"
    # After a stop it goes on by another call, with the arguments in place.
    changed = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=219, args=thread.args,
                     wchan="poll_schedule_timeout")  # fmt: skip
    assert [one.file for one in waited_files.waited(1, changed, "x86_64").files] == [3, 4, 6, 7]


@pytest.mark.parametrize(
    ("number", "args"),
    [
        (230, (0, 0, 0, 0, 0, 0)),
        (61, (3, 0, 0, 0, 0, 0)),
        (202, (3, 128, 0, 0, 0, 0)),
        (-1, (5, 6)),
    ],
)
def test_a_sleep_a_child_a_futex_and_a_fault_name_no_file(number, args):
    thread = Thread(tid=1, name="a", state="S", cpu_s=0.0, syscall=number, args=args)
    assert waited_files.waited(1, thread, "x86_64") == ([], True)


def test_eventfds_are_told_apart_by_their_numbers(monkeypatch):
    name = "anon_inode:[eventfd]"
    files = {5: [(3, name), (4, name)], 6: [(3, name)]}
    numbers = {(5, 3): "1", (5, 4): "2", (6, 3): "2"}
    monkeypatch.setattr(reading, "numbers", lambda folder: [5, 6])
    monkeypatch.setattr(file_table, "opened", files.get)
    monkeypatch.setattr(
        file_table,
        "info",
        lambda pid, file: f"eventfd-count: 0\neventfd-id: {numbers[pid, file]}\n",
    )
    table = file_table.FileTable()
    assert table.events("2") == [(5, 4), (6, 3)]
    assert table.events("1") == [(5, 3)]
    assert table.events("9") == []


@pytest.mark.parametrize(
    ("parents", "closed", "complete", "anybody"),
    [
        ({5: 4, 4: 1, 9: 1}, [], True, True),
        ({5: 4, 4: 1, 9: 1}, [9], True, False),  # init's child, as is the whole tree
        ({5: 4, 4: 1, 9: 4}, [9], False, False),  # it could have inherited what 5 has
        ({5: 4, 4: 1, 9: 5}, [9], False, False),
        ({5: 4, 4: 1}, [4], False, False),  # 5 may have inherited from it
        ({5: 4, 4: 1}, [1], True, False),
    ],
)
def test_files_are_completely_known_if_nobody_else_can_have_inherited_them(
    monkeypatch, parents, closed, complete, anybody
):
    def read(path: str) -> bytes:
        _, _, pid, name, *_ = f"{path}//".split("/")
        shown = name == "stat" and int(pid) in {**parents, 1: 0}
        state = f"{pid} (a) S {({**parents, 1: 0})[int(pid)]} " if shown else ""
        return (state + "0 " * 18 + "4096 0 0").encode() if shown else b""

    monkeypatch.setattr(reading, "read", read)
    monkeypatch.setattr(reading, "numbers", lambda folder: [1, *parents])
    monkeypatch.setattr(file_table, "opened", lambda pid: None if pid in closed else [])
    table = file_table.FileTable()
    assert table.complete(5) is complete
    assert table.complete(5, anybody=True) is anybody


@pytest.mark.parametrize(("line", "complete"), [("scm_fds: 0\n", True), ("scm_fds: 2\n", False),
                                                ("", True)])  # fmt: skip
def test_a_file_that_is_on_its_way_through_a_socket_may_be_any_file(monkeypatch, line, complete):
    files = {5: [(3, "pipe:[1]")], 9: [(4, "socket:[2]")]}
    monkeypatch.setattr(reading, "read", lambda path: b"")
    monkeypatch.setattr(reading, "numbers", lambda folder: [5, 9])
    monkeypatch.setattr(file_table, "opened", files.get)
    monkeypatch.setattr(file_table, "info", lambda pid, file: f"flags: 02\n{line}")
    assert file_table.FileTable().complete(5) is complete


@pytest.mark.parametrize(
    ("told", "holder", "complete"),
    [
        ("CachedSqHead:\t4\nCachedCqTail:\t4\nUserFiles:\t0\n", 9, True),
        ("CachedSqHead:\t5\nCachedCqTail:\t4\nUserFiles:\t0\n", 9, False),  # one is at work
        ("CachedSqHead:\t4\nCachedCqTail:\t4\nUserFiles:\t1\n", 9, False),
        ("", 9, False),  # a kernel that does not say
        ("", 5, True),  # its own, which is asked for elsewhere
    ],
)
def test_a_file_that_another_process_has_in_an_io_uring_may_be_any_file(
    monkeypatch, told, holder, complete
):
    files = {5: [(3, "pipe:[1]")], 9: []}
    files[holder] = [*files[holder], (4, "anon_inode:[io_uring]")]
    monkeypatch.setattr(reading, "read", lambda path: b"")
    monkeypatch.setattr(reading, "numbers", lambda folder: [5, 9])
    monkeypatch.setattr(file_table, "opened", files.get)
    monkeypatch.setattr(file_table, "info", lambda pid, file: told)
    assert file_table.FileTable().complete(5) is complete


def test_the_kernel_says_how_many_files_are_on_their_way():
    near, far = socket.socketpair()
    with near, far:
        socket.send_fds(near, [b"x"], [near.fileno()])
        told = file_table.info_line(os.getpid(), far.fileno(), "scm_fds")
        assert told in ("1", None)  # a kernel before 5.11 does not
        _, received, _, _ = socket.recv_fds(far, 1, 1)
        os.close(received[0])
        assert file_table.info_line(os.getpid(), far.fileno(), "scm_fds") in ("0", None)


def test_a_proc_that_hides_others_is_never_complete(monkeypatch):
    line = b"22 27 0:21 / /proc rw - proc proc rw,hidepid=invisible\n"
    monkeypatch.setattr(reading, "read", lambda path: line if "mountinfo" in path else b"")
    monkeypatch.setattr(reading, "numbers", lambda folder: [])
    monkeypatch.setattr(file_table.os, "geteuid", lambda: 1000)
    assert not file_table.FileTable().complete(5)
    monkeypatch.setattr(file_table.os, "geteuid", lambda: 0)
    assert file_table.FileTable().complete(5)


TIMER = """pos:\t0
clockid: 1
ticks: 0
settime flags: 00
it_value: ({}, 500000000)
it_interval: ({}, 0)
"""


@pytest.mark.parametrize(("value", "interval", "left"), [(21, 0, 21.5), (21, 2, None)])
def test_a_timer_that_rings_once_tells_its_time(monkeypatch, value, interval, left):
    monkeypatch.setattr(file_table, "target", lambda pid, file: "anon_inode:[timerfd]")
    monkeypatch.setattr(file_table, "info", lambda pid, file: TIMER.format(value, interval))
    link = file_peers.Ends().link(5, 3, reads=True)
    assert (link.kind, link.left_s) == ("timerfd", left)
    monkeypatch.setattr(file_table, "info", lambda pid, file: "")
    assert file_peers.Ends().link(5, 3, reads=True).left_s is None


def test_who_made_a_terminal_waits_for_who_has_it_open(monkeypatch):
    monkeypatch.setattr(file_table, "target", lambda pid, file: "/dev/ptmx")
    monkeypatch.setattr(file_peers.foreground, "slaves", lambda pid, file, table: (7,))
    link = file_peers.Ends().link(5, 3, reads=True)
    assert (link.kind, link.peers) == ("terminal_master", (7,))
