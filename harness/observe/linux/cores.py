"""Cores: where the kernel writes them, whether one may be asked for, and whose each is.

The kernel's rule (`kernel.core_pattern`, core(5)) is only read. A core is a file of ELF, of which a
few notes are read: NT_PRPSINFO has the process (`struct elf_prpsinfo` of the kernel), and NT_FILE
the files that it had mapped, of which the program is the first.
"""

from __future__ import annotations

import glob
import os
import resource
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from harness.observe.witness import Core
from harness.text import late

_KERNEL = Path("/proc/sys/kernel")
MOST = 1 << 30
"""Bytes of a core at most. One that is cut there still has the registers, and so the innermost
frame."""
SYSTEMD = "systemd-coredump"
_ROOM = 8 * MOST
"""Free bytes of a disk on which a core is asked for."""
_FIELD = late.compile(r"%(.)")
_HEADER = struct.Struct("<16sHHIQQQIHHH")
"""Of ELF in 64 bits, little endian, up to the number of program headers."""
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_CORE, _NOTES, _PRPSINFO, _FILES = 4, 4, 3, 0x46494C45
_LONGEST = 1 << 20
"""Bytes of notes that are read."""


class Rule(NamedTuple):
    """The place in which the kernel writes cores."""

    pattern: str
    """As in core(5): a path with fields such as `%p`, or `|` and a program."""
    numbered: bool
    """True if the number of the process is added to a path without one (core_uses_pid)."""

    @property
    def program(self) -> str:
        """The name of the program that is given the cores; empty where they are files."""
        words = self.pattern[1:].split() if self.pattern.startswith("|") else []
        return os.path.basename(words[0]) if words else ""

    @property
    def has_number(self) -> bool:
        return self.numbered or self.names_number

    @property
    def names_number(self) -> bool:
        """True if the pattern itself has the number of the process."""
        return any(field in "pP" for field in _FIELD.findall(self.pattern))


class Cores:
    """The cores of one command that starts in the current folder."""

    def __init__(self) -> None:
        self._rule, self._since = rule(), time.time()
        self._homes = {Path.cwd()}
        self._pids: set[int] = set()
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        self.wanted = soft != 0
        self.why_not = "" if self.wanted else refusal(self._rule, Path.cwd(), hard)
        self.limit = min(MOST, hard) if hard >= 0 else MOST
        self.by_systemd = self._rule.program == SYSTEMD

    def look(self, pids: Iterable[int]) -> None:
        """Note where these processes are: there the kernel writes their cores."""
        for pid in pids:
            self._pids.add(pid)
            try:
                self._homes.add(Path(os.readlink(f"/proc/{pid}/cwd")))
            except OSError:
                continue

    def left(self, session: int) -> list[Core]:
        """The cores of the processes seen, and of those of `session`, the oldest first."""
        if self._rule.program or not self._rule.pattern:
            return []
        every = find(self._rule, self._homes, self._since - 1)
        return [core for core in every if core.session == session or core.pid in self._pids]


def rule(folder: Path = _KERNEL) -> Rule:
    """The rule of this machine; without a pattern where it cannot be read."""
    try:
        pattern = (folder / "core_pattern").read_text(encoding="utf-8").strip()
    except OSError:
        return Rule("", False)
    try:
        numbered = (folder / "core_uses_pid").read_text(encoding="utf-8").strip() != "0"
    except OSError:
        numbered = False
    return Rule(pattern, numbered)


def place(of: Rule, home: Path) -> str:
    """The pattern of `glob` for the cores of processes whose current folder is `home`. Pure."""
    parts: list[str] = []
    end = 0
    for field in _FIELD.finditer(of.pattern):
        parts.append(glob.escape(of.pattern[end : field.start()]))
        parts.append("%" if field[1] == "%" else "*")
        end = field.end()
    parts.append(glob.escape(of.pattern[end:]))
    if of.numbered and not of.names_number:
        parts.append(".*")
    return os.path.join(glob.escape(str(home)), "".join(parts))


def refusal(of: Rule, home: Path, hard: int) -> str:
    """The reason why no core is asked for; empty if one can be had. `hard` is the limit in bytes.

    A core without a number in its name would replace a file that has that name.
    """
    if hard == 0:
        return "cores are forbidden here (ulimit -Hc is 0)"
    if not of.pattern:
        return "the kernel writes no cores (kernel.core_pattern)"
    if of.program == SYSTEMD:
        return f"{SYSTEMD} keeps no core while ulimit -c is 0"
    if of.program:
        return f"the kernel gives cores to {of.program} (kernel.core_pattern)"
    folder = os.path.dirname(place(of, home))
    if glob.has_magic(folder.replace(glob.escape(str(home)), "")):
        return "the folder of cores differs from one to the next (kernel.core_pattern)"
    folder = os.path.join(str(home), os.path.dirname(of.pattern))
    if not os.access(folder, os.W_OK | os.X_OK):
        return "the folder of cores cannot be written to (kernel.core_pattern)"
    if not of.has_number and glob.glob(place(of, home)):
        return f"its folder has a file {os.path.basename(of.pattern)} already"
    try:
        room = os.statvfs(folder)
    except OSError:
        return "the folder of cores cannot be looked at"
    if room.f_bavail * room.f_frsize < _ROOM:
        return "the disk has no room for a core"
    return ""


def find(of: Rule, homes: Iterable[Path], since: float) -> list[Core]:
    """The cores written since `since`, in seconds of the wall clock, the oldest first."""
    files = {Path(name) for home in homes for name in glob.glob(place(of, home))}
    found = []
    for file in files:
        try:
            state = file.stat()
        except OSError:
            continue
        if state.st_mtime >= since and (core := read(file)) is not None:
            found.append((state.st_mtime, core))
    return [core for _, core in sorted(found, key=lambda one: one[0])]


def read(file: Path) -> Core | None:
    """The process of a core; None of any other file."""
    try:
        with file.open("rb") as stream:
            header = stream.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            identity, kind, _, _, _, at, _, _, _, size, count = _HEADER.unpack(header)
            if identity[:5] != b"\x7fELF\x02" or kind != _CORE or size != _SEGMENT.size:
                return None
            stream.seek(at)
            table = stream.read(size * min(count, 16))
            for start in range(0, len(table) - size + 1, size):
                segment = _SEGMENT.unpack_from(table, start)
                if segment[0] == _NOTES:
                    stream.seek(segment[2])
                    return _owner(file, stream.read(min(segment[5], _LONGEST)))
    except (OSError, struct.error):
        pass
    return None


def _owner(file: Path, notes: bytes) -> Core | None:
    ids, program = None, ""
    at = 0
    while at + _NOTE.size <= len(notes):
        name, size, kind = _NOTE.unpack_from(notes, at)
        begin = at + _NOTE.size + (name + 3 & ~3)
        if kind == _PRPSINFO and ids is None:
            # Four letters and a mask of flags, then ids: uid, gid, pid, ppid, pgrp, sid.
            ids = struct.unpack_from("<4i", notes, begin + 24)
        elif kind == _FILES:
            # Their number, the size of a page, three numbers of each, and then the names.
            count = struct.unpack_from("<Q", notes, begin)[0]
            names = notes[begin + 16 + 24 * count : begin + size]
            program = os.fsdecode(names.split(b"\0", 1)[0])
        at = begin + (size + 3 & ~3)
    if ids is None:
        return None
    return Core(file, ids[0], ids[3], program, file.stat().st_size)
