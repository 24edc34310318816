"""What the words at a futex say of its owner, and what a process's mappings say of its sharers."""

from __future__ import annotations

import platform
import subprocess
import sys
from os import fsdecode as decode
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

from harness.observe.linux import file_table, futexes, mappings, reading, rlocks  # noqa: E402
from harness.observe.linux.futexes import Wait, decide  # noqa: E402

WAIT, LOCK_PI, BITSET, REQUEUE = 0, 6, 9, 11
THREADS = {4711, 4712}


def words(*first: int) -> tuple[int, ...]:
    return (*first, *[0] * (8 - len(first)))


@pytest.mark.parametrize(
    ("wait", "seen", "shared", "kind", "owner"),
    [
        # As seen with glibc 2.36: a mutex that is normal, recursive, errorcheck or adaptive.
        (Wait(64, WAIT, True, 2), words(2, 0, 4712, 1, 0), False, "mutex", 4712),
        (Wait(64, WAIT, True, 2), words(2, 1, 4712, 1, 1), False, "mutex", 4712),
        (Wait(64, BITSET, True, 2), words(2, 0, 4712, 1, 3), False, "mutex", 4712),
        # The owner is no thread of this process: perhaps it is no mutex.
        (Wait(64, WAIT, True, 2), words(2, 0, 99, 1, 0), False, "private", None),
        (Wait(64, WAIT, True, 2), words(2, 0, 0, 0, 0), False, "private", None),
        (Wait(64, WAIT, True, 2), words(2, 0, 4712, 0, 0), False, "private", None),
        (Wait(64, WAIT, True, 2), words(2, 0, 4712, 1, 0x5500_0000), False, "private", None),
        # It has been released since.
        (Wait(64, WAIT, True, 2), words(1, 0, 4712, 1, 0), False, "private", None),
        # One that another process holds.
        (Wait(64, WAIT, False, 2), words(2, 0, 99, 1, 128), True, "mutex", 99),
        (Wait(64, LOCK_PI, True, 0), words(0x8000_0000 | 4712), False, "pi_mutex", 4712),
        (Wait(64, LOCK_PI, True, 0), words(0xC000_0000), False, "pi_mutex", None),
        (Wait(64, LOCK_PI, True, 0), (), False, "pi_mutex", None),
        (Wait(64, WAIT, False, 0x8000_0000 | 4712), words(0x8000_0000 | 4712, 0, 4712, 1, 16),
         False, "robust", 4712),
        (Wait(64, BITSET, False, 4712), words(4712), False, "join", 4712),
        (Wait(64, WAIT, False, 4712), words(4712, 0, 0x6020_0BC0, 0x7F12), False, "join", 4712),
        (Wait(64, BITSET, False, 99), words(99), False, "private", None),
        # A word of shared memory that happens to be a number of a thread.
        (Wait(64, BITSET, False, 4712), words(4712), True, "shared", None),
        # Semaphores, one of them shared, and a condition variable that waits for 2.
        (Wait(64, BITSET, True, 0), words(0, 1), False, "private", None),
        (Wait(64, BITSET, False, 0), words(0, 1, 128), True, "shared", None),
        (Wait(64, BITSET, True, 2), words(2, 0, 0, 0), False, "private", None),
        (Wait(64, REQUEUE, True, 4712), words(4712, 0, 4712, 1), False, "private", None),
        (Wait(64, WAIT, True, 2), (), False, "private", None),
        (Wait(64, WAIT, False, 2), (), True, "shared", None),
    ],
)  # fmt: skip
def test_the_words_tell_kind_and_owner(wait, seen, shared, kind, owner):
    assert decide(wait, seen, THREADS, shared) == (kind, owner)


MAPS = b"""\
55d0c8a00000-55d0c8a01000 rw-p 00002000 fe:00 81234                      /usr/bin/a program
55d0c9e00000-55d0c9e21000 rw-p 00000000 00:00 0                          [heap]
7f10a0000000-7f10a0021000 rw-p 00000000 00:00 0 
7f10a4000000-7f10a4001000 rw-s 00000000 00:01 1025                       /dev/zero (deleted)
7f10a5000000-7f10a5001000 rw-s 00000000 00:17 9                          /dev/shm/sem.x (deleted)
7f10a6000000-7f10a6001000 rw-p 00000000 00:00 0                          [anon:glibc: malloc]
7ffd10000000-7ffd10021000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""  # noqa: W291


def test_the_mappings_of_a_process_are_read_by_the_kernels_columns():
    found = list(mappings.parse(MAPS))
    assert [one.path for one in found[:3]] == ["/usr/bin/a program", "[heap]", ""]
    assert [one.anonymous for one in found] == [0, 1, 1, 0, 0, 1, 0, 0]
    assert [one.private for one in found] == [1, 1, 1, 0, 0, 1, 1, 0]
    assert mappings.at(found, 0x7F10A4000FFF) == (
        0x7F10A4000000, 0x7F10A4001000, "rw-s", "00:01", 1025, "/dev/zero (deleted)",
    )  # fmt: skip
    assert mappings.at(found, 0x7F10A4001000) is None


@pytest.fixture
def machine(monkeypatch):
    """Processes 5 to 8, and a thread of the kernel: their mappings, open files, and /dev/shm."""
    proc = SimpleNamespace(
        texts={
            "/proc/5/maps": MAPS,
            "/proc/6/maps": MAPS.replace(b"00:17 9 ", b"00:17 90 "),
            "/proc/7/maps": MAPS.replace(b"rw-s", b"rw-p"),  # a copy of its own
            "/proc/8/maps": MAPS,
            "/proc/5/stat": b"5 (a) S 1 " + b"0 " * 16 + b"4096 0 0",
            "/proc/9/stat": b"9 (b) S 5 " + b"0 " * 18 + b"4096 0 0",
            "/proc/10/stat": b"10 (kthread) S 2 " + b"0 " * 18 + b"0 0 0",
            "/proc/5/mountinfo": b"30 1 0:23 / /dev/shm rw - tmpfs shm rw\n",
        },
        listed=[5, 6, 7, 8, 10],
        opened={},
        names=0,
    )
    monkeypatch.setattr(reading, "read", lambda path: proc.texts.get(path, b""))
    monkeypatch.setattr(reading, "numbers", lambda folder: proc.listed)
    monkeypatch.setattr(file_table, "opened", lambda pid: proc.opened.get(pid, []))
    stat = SimpleNamespace(stat=lambda path: SimpleNamespace(st_nlink=proc.names), fsdecode=decode)
    monkeypatch.setattr(mappings, "os", stat)
    return proc


def sharing():
    return mappings.Sharing(file_table.FileTable())


_, _, _, ANONYMOUS, SEMAPHORE, *_ = mappings.parse(MAPS)


def test_who_maps_the_same_memory_is_told_by_device_and_inode(machine):
    assert sharing().of(SEMAPHORE, 5) == ((5, 8), True)
    assert sharing().of(ANONYMOUS, 5) == ((5, 6, 8), True)
    # Process 9 has 5 for a parent, and its mappings cannot be read. It is no relative of 8.
    machine.listed.append(9)
    assert sharing().of(SEMAPHORE, 5) == ((5, 8), False)
    assert sharing().of(ANONYMOUS, 8) == ((5, 6, 8), True)


def test_who_has_the_file_of_shared_memory_open_can_map_it(machine):
    """A feeder may map a ring of batches only when it has one to give."""
    machine.opened[7] = [(3, "/dev/shm/other (deleted)"), (4, "/dev/shm/y (deleted)"), (5, "/log")]
    machine.texts["/proc/7/fdinfo/3"] = b"pos:\t0\nino:\t90\n"
    machine.texts["/proc/7/fdinfo/4"] = b"pos:\t0\nino:\t9\n"
    assert sharing().of(SEMAPHORE, 5) == ((5, 8, 7), True)
    machine.texts["/proc/7/fdinfo/3"] = b"pos:\t0\n"  # before Linux 5.14
    assert sharing().of(SEMAPHORE, 5) == ((5, 8, 7), False)


@pytest.mark.parametrize(
    ("device", "path", "nameless"),
    [
        ("00:17", "/dev/shm/sem.x (deleted)", True),
        ("00:17", "/dev/shm/sem.x", False),
        ("00:01", "/dev/zero (deleted)", True),
        ("00:01", "/memfd:ring (deleted)", True),
        ("00:01", "/SYSV00000000 (deleted)", False),  # found by its number
        ("fe:00", "/data/ring (deleted)", False),  # it may have another name
        ("00:00", "", True),
    ],
)
def test_memory_without_a_name_is_mapped_by_those_alone_that_have_it(
    machine, device, path, nameless
):
    assert sharing().of(SEMAPHORE._replace(device=device, path=path), 5)[1] is nameless


def test_a_posix_semaphore_has_a_name_although_its_first_path_is_gone(machine):
    machine.names = 1
    assert sharing().of(SEMAPHORE, 5) == ((5, 8), False)
    machine.names = 0
    machine.texts["/proc/5/mountinfo"] = b"30 1 0:99 / /dev/shm rw - tmpfs shm rw\n"
    assert sharing().of(SEMAPHORE, 5) == ((5, 8), False)


def test_who_may_not_count_the_names_of_shared_memory_looks_for_them(tmp_path):
    file = tmp_path / "sem.x"
    file.write_bytes(b"")
    inode = file.stat().st_ino
    assert mappings._may_name(str(tmp_path), inode)
    file.rename(tmp_path.parent / "moved")
    assert not mappings._may_name(str(tmp_path), inode)
    (tmp_path / "folder").mkdir()
    assert mappings._may_name(str(tmp_path), inode)
    assert mappings._may_name(str(tmp_path / "gone"), inode)


FORKS = """
import os, sys
child = os.fork()
if child:
    print(child, flush=True)
sys.stdin.read()
"""


def test_a_process_has_its_own_memory_and_a_child_after_fork_another():
    """A process of one thread forks: this one may have others, whose locks a child would keep."""
    command = [sys.executable, "-I", "-S", "-c", FORKS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as parent:
        child, arch = int(parent.stdout.readline()), platform.machine()
        assert mappings.same_memory(parent.pid, parent.pid, arch) in (True, None)
        assert mappings.same_memory(child, parent.pid, arch) in (False, None)
        assert mappings.same_memory(child, parent.pid, "riscv64") in (False, None)
        assert mappings.same_memory(2**22 + 1, parent.pid, arch) is False
        parent.stdin.close()


def test_who_shares_memory_is_found_wherever_it_is(monkeypatch):
    """A process that clone() made may be no child, and may be below another parent."""
    begins = {1: "0", 7: "0", 20: "500", 30: "500", 40: "500", 50: "600"}
    stats = {f"/proc/{pid}/stat": ("a", ["0"] * 25 + [begin]) for pid, begin in begins.items()}
    monkeypatch.setattr(mappings.reading, "numbers", lambda folder: list(begins))
    monkeypatch.setattr(mappings.reading, "stat", stats.get)
    asked = []
    monkeypatch.setattr(
        mappings, "in_common", lambda pids, arch: asked.append(pids) or {20, 40} & {*pids}
    )
    assert mappings.sharers([7, 20, 30, 50], "x86_64") == {20}
    assert asked == [[20, 30, 40]]


def test_memory_of_ones_own_is_in_common_with_nobody():
    arch = platform.machine()
    sleeping = [subprocess.Popen(["sleep", "600"]) for _ in range(3)]
    pids = [one.pid for one in sleeping]
    try:
        if mappings._order(*pids[:2], arch) is None:
            pytest.skip("processes may not be compared here")
        assert mappings.in_common(pids, arch) == set()
        assert mappings.in_common([*pids, pids[0]], arch) == {pids[0]}
        assert mappings.in_common(pids, "an unknown processor") == set(pids)
        gone = 2**22 + 1  # no process has such a number
        assert mappings.in_common([*pids, gone], arch) == set(), "who is gone has no memory"
    finally:
        for one in sleeping:
            one.kill()
            one.wait()


def test_memories_whose_order_changes_meanwhile_are_put_in_order_again(monkeypatch):
    """Who calls exec while the others are put in order may part two that have the same memory."""
    place, asked = {10: 1, 20: 5, 30: 1}, []

    def order(one, other, arch):
        asked.append((one, other))
        if len(asked) in changes:
            place[20] = 5 - place[20]
        return (place[one] > place[other]) - (place[one] < place[other])

    monkeypatch.setattr(mappings, "_order", order)
    monkeypatch.setattr(mappings.reading, "stat", lambda path: ("a", []))
    changes = {3}
    assert mappings.in_common([10, 20, 30], "x86_64") == {10, 30}
    assert len(asked) > 4, "they were put in order again"


def test_memories_that_the_kernel_tells_nothing_of_may_be_in_common(monkeypatch):
    monkeypatch.setattr(mappings, "_order", lambda one, other, arch: None)
    monkeypatch.setattr(mappings.reading, "stat", lambda path: None if "20" in path else ("a", []))
    assert mappings.in_common([10, 20, 30], "x86_64") == {10, 30}, "20 has ended"


def test_numbers_of_another_name_space_are_translated(monkeypatch):
    texts = {
        "/proc/5/status": b"Name:\tx\nNSpid:\t5\t1\n",
        "/proc/5/task/5/status": b"NSpid:\t5\t1\n",
        "/proc/5/task/6/status": b"NSpid:\t6\t2\n",
    }
    monkeypatch.setattr(reading, "read", lambda path: texts.get(path, b""))
    assert futexes._numbers(5, [5, 6, 7]) == {1: 5, 2: 6}
    texts["/proc/5/status"] = b"NSpid:\t5\n"
    assert futexes._numbers(5, [5, 6]) == {5: 5, 6: 6}


def test_a_pointer_is_found_at_its_places_alone():
    pointer = (0x55D0_1234_5000).to_bytes(8, "little")
    data = bytes(24) + pointer + bytes(4) + pointer + bytes(4) + pointer[:6] + b"\1\1" + pointer
    assert list(rlocks._places(data, 0x55D0_1234_5000)) == [24, 56]


def test_a_process_whose_search_took_long_is_not_searched_again(monkeypatch):
    sought = []

    def search(pid, semaphores, mapped):
        sought.append(tuple(semaphores))
        clock.used += 0.6
        return {}

    clock = SimpleNamespace(used=0.0)
    monkeypatch.setattr(rlocks, "time", SimpleNamespace(thread_time=lambda: clock.used))
    monkeypatch.setattr(rlocks, "_search", search)
    python = mappings.Mapping(0, 8, "r-xp", "0:0", 1, "/usr/bin/python3.11")
    finder = rlocks.Finder()
    for _ in range(9):
        assert finder.owners(7, set(range(0, 800, 8)), [python]) == {}
    assert [len(each) for each in sought] == [rlocks._LOCKS] * 2
    assert not set(sought[0]) & set(sought[1])
