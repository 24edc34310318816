"""The terminals, named pipes, devices and files that processes have open on macOS.

XNU asks the file system of each of them for its attributes (`bsd/kern/proc_info.c`,
fill_vnodeinfo), and one whose server is gone does not answer. So a thread of its own asks, and
nobody waits for it for long. It has never run on a Mac (docs/internals/macos.md).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from harness.model.world import Link, LinkKind
from harness.observe.macos import kernel
from harness.observe.threads import within

ANSWER_S = 4.0
"""The time in which file systems answer for all processes that are asked about."""
VNODE = 1
_REGULAR, _CHARACTERS, _FIFO = 1, 4, 7
"""vi_type."""
_READS, _WRITES = 1, 2
"""FREAD and FWRITE, of how a file is open."""
TERMINAL = re.compile(rb"/dev/(tty|ttys\w+|console)")
"""Paths of terminals. A serial device has another one, as /dev/tty.usbserial-1."""
_OUTPUT = (1, 2)
"""File descriptors that a program writes to."""
_NOBODY_WAITS = frozenset((b"/dev/null", b"/dev/zero", b"/dev/random", b"/dev/urandom"))
_HIDDEN = Link(told="a file that is not shown", complete=False, unseen=True)
_HELD = Link(
    told="a file whose file system does not answer", kind="file", fs="unknown", complete=False
)


class _File(NamedTuple):
    """A regular file or a named pipe that a process has open."""

    device: int
    inode: int


class Vnodes:
    """Asks for them, and does not ask again about a process as long as it got no answer."""

    def __init__(self) -> None:
        self._asked: set[int] = set()
        """Processes about which somebody asks now."""

    def of(self, pids: Sequence[int]) -> dict[int, tuple[Link, ...]]:
        """The open files, by pid. Who is asked about and does not answer in time is said to be
        held, and those behind it are hidden."""
        todo = [pid for pid in pids if pid not in self._asked]
        found: dict[int, tuple[tuple[Link, _File | None], ...]] = {}

        def ask() -> None:
            for pid in todo:
                self._asked.add(pid)
                try:
                    found[pid] = tuple(_links(pid))
                finally:
                    self._asked.discard(pid)

        if todo:
            within(ANSWER_S, ask, None)
        known, held = dict(found), set(self._asked)
        holders = _holders(known)
        told = {
            pid: tuple(_with_peers(pid, *one, holders) for one in own) for pid, own in known.items()
        }
        return {pid: told.get(pid, (_HELD if pid in held else _HIDDEN,)) for pid in pids}


def access(flags: int) -> bool | None:
    """True of a file that can only be read, False of one that can only be written to."""
    both = flags & (_READS | _WRITES)
    return None if both not in (_READS, _WRITES) else both == _READS


def _holders(
    found: Mapping[int, tuple[tuple[Link, _File | None], ...]],
) -> Mapping[_File, set[int]]:
    holders: dict[_File, set[int]] = defaultdict(set)
    for pid, links in found.items():
        for _, file in links:
            if file is not None:
                holders[file].add(pid)
    return holders


def _with_peers(
    pid: int, link: Link, file: _File | None, holders: Mapping[_File, set[int]]
) -> Link:
    if file is None:
        return link
    return msgspec.structs.replace(link, peers=tuple(sorted(holders[file] - {pid})))


def _links(pid: int) -> Iterator[tuple[Link, _File | None]]:
    """Those of one process, its standard ones last, each once."""
    task = kernel.task(pid)
    # Zero is no group. Who has no terminal of its own reads one that a person may sit at, too.
    front = task is not None and task.pbsd.e_tpgid in (0, task.pbsd.pbi_pgid)
    seen: set[tuple[bytes, int]] = set()
    numbers = sorted(number for number, kind in kernel.files(pid) if kind == VNODE)
    for number in (*(one for one in numbers if one > 2), *(one for one in numbers if one <= 2)):
        found = kernel.path(pid, number)
        if found is None:
            yield _HIDDEN, None
            continue
        path = bytes(found.path)
        key = path, found.stat.vst_ino  # one that was deleted may have no path
        if key in seen or path in _NOBODY_WAITS:
            continue
        if TERMINAL.fullmatch(path):
            if number in _OUTPUT:
                continue  # who types there is not read, where its input is something else
            yield Link(told="what is typed at its terminal", kind="terminal", person=front,
                       complete=False, reopenable=True), None  # fmt: skip
        elif found.kind in (_REGULAR, _CHARACTERS, _FIFO):
            flags = access(found.pfi.fi_openflags)
            name = path.rpartition(b"/")[2].decode("utf-8", "replace") or "without a name"
            kind: LinkKind = "file"
            told = f"the file {name}"
            if found.kind == _FIFO:
                kind, told = "fifo", f"the pipe {name}"
            elif found.kind == _CHARACTERS:
                kind, told = "device", f"the device {name}"
            link = Link(told=told, kind=kind, complete=False, reopenable=True, reads=flags)
            own = _File(found.stat.vst_dev, found.stat.vst_ino)
            yield link, own if found.kind != _CHARACTERS else None
        seen.add(key)
