"""The memory that a process has mapped, and who else maps the same."""

from __future__ import annotations

import bisect
import ctypes
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cmp_to_key
from itertools import pairwise
from typing import NamedTuple

from harness.observe.linux import file_table, mounts, reading

_LINE = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)$", re.M
)
_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_MEMORY = 1
_ORDER = {0: 0, 1: -1, 2: 1}
"""The kernel's answers: equal, less, greater."""
_TRIES = 3
"""Attempts to put memories in order, while processes come and go."""
_STACK_BEGINS, _SIZE, _RESIDENT = 25, 20, 21
"""Places among a stat's fields after the name."""
_GONE = " (deleted)"
_NUMBERED = "/SYSV"
"""Begins the path of System V's memory, which any process finds by its number."""
_NEVER_NAMED = ("/dev/zero", "/memfd:")
"""Begin the paths of memory that is shared by inheritance, or by an open file, alone."""
_SHARED = "/dev/shm"


class Mapping(NamedTuple):
    start: int
    end: int
    flags: str
    """Such as `rw-p`, or `rw-s` of memory that is shared."""
    device: str
    """Major and minor number, in hexadecimal digits, as in `fd:01`."""
    inode: int
    path: str
    """Empty of anonymous memory; `[heap]`, `[stack]` and their like of what the kernel names."""

    @property
    def private(self) -> bool:
        """Check whether what is written here is seen by this memory's users alone."""
        return self.flags.endswith("p") and "w" in self.flags

    @property
    def anonymous(self) -> bool:
        return (self.inode == 0 and self.path.startswith(("[heap]", "[anon"))) or not self.path


def mappings(pid: int) -> list[Mapping]:
    """The mappings by address; empty when they cannot be read."""
    return list(parse(reading.read(f"/proc/{pid}/maps")))


def parse(text: bytes) -> Iterator[Mapping]:
    for start, end, flags, device, inode, path in _LINE.findall(text):
        yield Mapping(
            int(start, 16),
            int(end, 16),
            flags.decode(),
            device.decode(),
            int(inode),
            os.fsdecode(path),
        )


def code(text: bytes) -> str:
    """The lines of files with executable mappings: these, and those in which the files begin."""
    lines = [(line.split(None, 5), line) for line in text.splitlines()]
    files = [(parts, line) for parts, line in lines if len(parts) == 6 and parts[5][:1] == b"/"]
    paths = {parts[5] for parts, _ in files if b"x" in parts[1]}
    kept = [
        line
        for parts, line in files
        if parts[5] in paths and (b"x" in parts[1] or not parts[2].strip(b"0"))
    ]
    return "".join(line.decode("utf-8", "replace") + "\n" for line in kept)


def at(mapped: Sequence[Mapping], address: int) -> Mapping | None:
    """The mapping that an address lies in. `mapped` is in the order of the addresses."""
    place = bisect.bisect_right(mapped, address, key=lambda one: one.start) - 1
    return mapped[place] if place >= 0 and address < mapped[place].end else None


class Sharing:
    """The processes that have each shared memory, among all processes, as of the first question."""

    def __init__(self, table: file_table.FileTable) -> None:
        self._table = table
        self._maps: dict[int, bytes] | None = None
        self._closed: list[int] = []
        self._kin = file_table.Kin()

    def of(self, mapping: Mapping, pid: int) -> tuple[tuple[int, ...], bool]:
        """The processes that have what `pid` maps there, and whether these are all that can map it.

        Of memory that has no name left, those can that have inherited it, or its open file. The
        files are asked first: one that maps its file and closes it has the mapping then.
        """
        open_in, known = self._open(mapping)
        known = known and self._table.complete(pid) and is_nameless(mapping, pid)
        if self._maps is None:
            self._maps = self._read()
        near = b" %s %d " % (mapping.device.encode(), mapping.inode)
        wanted = re.compile(rb"^\S+ \S{3}s \S+" + near, re.M)
        found = [one for one, text in self._maps.items() if near in text and wanted.search(text)]
        near_are_seen = not any(self._kin.near(pid, other) for other in self._closed)
        complete = known and near_are_seen and not self._kin.hidden()
        return tuple(dict.fromkeys((*found, *open_in))), complete

    def _open(self, mapping: Mapping) -> tuple[list[int], bool]:
        """The processes that have open what is mapped, by its number; whether all told theirs, as
        since Linux 5.14. An open file may have another name than the mapping."""
        if not mapping.path.endswith(_GONE):
            return [], True
        named = self._table.named("/")
        gone = (holder for name, held in named if name.endswith(_GONE) for holder in held)
        numbers = [(holder.pid, file_table.info_line(*holder, "ino")) for holder in gone]
        found = [pid for pid, number in numbers if number == str(mapping.inode)]
        return found, all(number is not None for _, number in numbers)

    def _read(self) -> dict[int, bytes]:
        found = {}
        for pid in reading.numbers("/proc"):
            text = reading.read(f"/proc/{pid}/maps")
            if text:
                found[pid] = text
            elif not file_table.without_memory(pid):
                self._closed.append(pid)
        return found


def is_nameless(mapping: Mapping, pid: int) -> bool:
    """Check whether no name leads to shared memory of `pid`: no process can open it anew.

    A path that is gone does not say so: the C library gives a POSIX semaphore its name by a link.
    """
    if mapping.anonymous:
        return True
    if not mapping.path.endswith(_GONE) or mapping.path.startswith(_NUMBERED):
        return False
    if mapping.path.startswith(_NEVER_NAMED):
        return True
    place = next((one for one in mounts.mounts(pid)[::-1] if one.place == _SHARED), None)
    if place is None or (place.type, place.root) != ("tmpfs", "/"):
        return False
    if mounts.in_maps(place.device) != mapping.device:
        return False
    try:
        file = os.stat(f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}")
    except OSError:  # only root may ask
        return not _may_name(f"/proc/{pid}/root{_SHARED}", mapping.inode)
    return file.st_nlink == 0


def _may_name(folder: str, inode: int) -> bool:
    """Check whether a file in a folder has this number, or may have it in a folder below."""
    try:
        with os.scandir(folder) as entries:
            return any(one.inode() == inode or one.is_dir(follow_symlinks=False) for one in entries)
    except OSError:
        return True


def same_memory(pid: int, other: int, arch: str) -> bool | None:
    """Check whether two processes have one memory, as after vfork; None: it may be so."""
    order = _order(pid, other, arch)
    if order is not None:
        return order == 0
    # It may not be asked. What has called exec since has a stack that begins elsewhere, and what
    # has memory of its own has, sooner or later, another amount of it.
    ours, theirs = (reading.stat(f"/proc/{one}/stat") for one in (pid, other))
    if ours is None or theirs is None:
        return False
    begins = ours[1][_STACK_BEGINS]
    if begins != "0" and begins != theirs[1][_STACK_BEGINS]:
        return False
    same = all(ours[1][place] == theirs[1][place] for place in (_SIZE, _RESIDENT))
    return None if same else False


def sharers(pids: Iterable[int], arch: str) -> frozenset[int]:
    """Those of `pids` whose memory may be another process's as well: of a child from vfork to exec,
    or of one that clone() made with CLONE_VM, below them, beside them or elsewhere.

    A thread of one could then wake one of the other through what is called a private futex.
    """
    beginning: dict[str, list[int]] = {}
    for pid in reading.numbers("/proc"):
        stat = reading.stat(f"/proc/{pid}/stat")
        # What has called exec since has a stack that begins elsewhere. Zero: it is not shown.
        if stat is not None and stat[1][_STACK_BEGINS] != "0":
            beginning.setdefault(stat[1][_STACK_BEGINS], []).append(pid)
    own = frozenset(pids)
    found: set[int] = set()
    for alike in beginning.values():
        if len(alike) > 1 and not own.isdisjoint(alike):
            found |= own & in_common(alike, arch)
    return frozenset(found)


def in_common(pids: Sequence[int], arch: str) -> set[int]:
    """Those of `pids` whose memory another one of them has; all where the kernel does not tell.

    The kernel says of two memories which comes first (kcmp(2)). In that order the same ones are
    neighbors, so that a thousand forked processes are told apart by some ten thousand questions.
    Where one ends or calls exec meanwhile, those that are left are asked anew.
    """
    for _ in range(_TRIES):
        if (found := _neighbors(pids, arch)) is not None:
            return found
        pids = [pid for pid in pids if reading.stat(f"/proc/{pid}/stat") is not None]
    return set(pids)


def _neighbors(pids: Sequence[int], arch: str) -> set[int] | None:
    """Those that have the memory of another one, if the order held until it was known."""

    def order(one: int, other: int) -> int:
        answer = _order(one, other, arch)
        if answer is None:
            raise OSError
        return answer

    try:
        ordered = sorted(pids, key=cmp_to_key(order))
        orders = {pair: order(*pair) for pair in pairwise(ordered)}
    except OSError:
        return None
    if any(each > 0 for each in orders.values()):
        return None  # one has called exec meanwhile: the same ones may be apart
    return {pid for pair, each in orders.items() if each == 0 for pid in pair}


def _order(pid: int, other: int, arch: str) -> int | None:
    """The order of the memories of two processes: negative, zero if they are one, or
    positive; None where the kernel does not tell."""
    number = _KCMP.get(arch)
    if number is None:
        return None
    answer = ctypes.CDLL(None, use_errno=True).syscall(number, pid, other, _KCMP_MEMORY, 0, 0)
    return _ORDER.get(answer)
