"""The table of open files of all processes that may be looked into. Linux only."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.observe.linux import reading

_ACCESS, READ_ONLY, WRITE_ONLY = 0o3, 0, 1
_INIT = frozenset((0, 1, 2))
"""Common ancestors that tell nothing: the kernel, init, and the kernel's threads."""
_RING = "anon_inode:[io_uring]"
_SIZE = 20
"""Place of the size of the memory among a stat's fields after the name."""


class Holder(NamedTuple):
    pid: int
    file: int


class FileTable:
    """The open files of all processes, as of the first question."""

    def __init__(self) -> None:
        self._holders: dict[str, list[Holder]] | None = None
        self._closed: set[int] = set()
        self._kin = Kin()
        self._events: dict[str, list[Holder]] | None = None
        self._sent: bool | None = None
        self._rings: set[int] | None = None

    def holders(self, target: str) -> list[Holder]:
        """The holders of a file that is named so, such as `pipe:[123]`."""
        return self._all().get(target, [])

    def named(self, begins: str) -> Iterator[tuple[str, list[Holder]]]:
        for target, holders in self._all().items():
            if target.startswith(begins):
                yield target, holders

    def complete(self, pid: int, anybody: bool = False) -> bool:
        """Check whether all could be looked into that may have what `pid` has open.

        What has no name is inherited, so the others' processes matter that descend from an ancestor
        of `pid`; `anybody`: it has a name, by which any process may have opened it. An open file
        that was sent, and not received yet, may be this one: no process has it then. So may one
        that another process has in an io_uring alone; that of `pid` itself is another question.
        """
        self._all()
        return not (self._kin.hidden() or self._are_sent()) and not any(
            anybody or self._kin.near(pid, other)
            for other in self._closed | (self._ringing() - {pid})
        )

    def descends(self, pid: int, ancestor: int) -> bool:
        return self._kin.descends(pid, ancestor)

    def events(self, number: str) -> list[Holder]:
        """The holders of the eventfd with this number; all eventfds have one name."""
        if self._events is None:
            self._events = defaultdict(list)
            for holder in self.holders("anon_inode:[eventfd]"):
                found = info_line(*holder, "eventfd-id")
                if found:
                    self._events[found].append(holder)
        return self._events.get(number, [])

    def _are_sent(self) -> bool:
        """Check whether open files are on their way through a local socket (SCM_RIGHTS).

        The kernel says so since 5.11.
        """
        if self._sent is None:
            sockets = (holders[0] for _, holders in self.named("socket:"))
            self._sent = any(info_line(*one, "scm_fds") not in (None, "0") for one in sockets)
        return self._sent

    def _ringing(self) -> set[int]:
        """The processes with an io_uring that may have files of which nothing else is seen."""
        if self._rings is None:
            rings = self.holders(_RING)
            self._rings = {holder.pid for holder in rings if not _is_idle(info(*holder))}
        return self._rings

    def _all(self) -> dict[str, list[Holder]]:
        if self._holders is None:
            self._holders = defaultdict(list)
            for pid in reading.numbers("/proc"):
                files = opened(pid)
                if files is None:
                    self._closed.add(pid)
                for file, target in files or ():
                    self._holders[target].append(Holder(pid, file))
            self._closed = {pid for pid in self._closed if not without_memory(pid)}
        return self._holders


class Kin:
    """The ancestors of processes, from whom files are inherited, as of the first question."""

    def __init__(self) -> None:
        self._parents: dict[int, int] | None = None
        self._hidden: bool | None = None

    def near(self, pid: int, other: int) -> bool:
        """Check whether two processes have an ancestor in common, or one of them is the other's."""
        return other not in self._all() or bool(self._line(pid) & self._line(other))

    def descends(self, pid: int, ancestor: int) -> bool:
        return pid != ancestor and ancestor in self._line(pid)

    def hidden(self) -> bool:
        """Check whether /proc may hide the processes of other users."""
        if self._hidden is None:
            lines = reading.read("/proc/self/mountinfo").splitlines()
            proc = [line for line in lines if b" /proc " in line and b" - proc " in line]
            self._hidden = os.geteuid() != 0 and any(
                re.search(rb"hidepid=(?!0|off)", line) for line in proc
            )
        return self._hidden

    def _line(self, pid: int) -> set[int]:
        """A process and its ancestors, but for those that everything has."""
        parents = self._all()
        found: set[int] = set()
        while pid not in _INIT and pid not in found:
            found.add(pid)
            pid = parents.get(pid, 0)
        return found

    def _all(self) -> dict[int, int]:
        if self._parents is None:
            self._parents = {
                pid: int(stat[1][1])
                for pid in reading.numbers("/proc")
                if (stat := reading.stat(f"/proc/{pid}/stat"))
            }
        return self._parents


def without_memory(pid: int) -> bool:
    """Check whether it has neither memory nor files: it has ended, or is a thread of the kernel."""
    stat = reading.stat(f"/proc/{pid}/stat")
    if stat is None:
        return not os.path.exists(f"/proc/{pid}")
    return stat[1][0] in "ZX" or stat[1][_SIZE] == "0"


def opened(pid: int) -> list[tuple[int, str]] | None:
    """Number and name of each open file of a process; None when they cannot be listed."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
        found = []
        for name in names:
            try:
                found.append((int(name), os.readlink(f"{folder}/{name}")))
            except FileNotFoundError:
                continue  # closed since they were listed
    except (FileNotFoundError, ProcessLookupError):
        return []
    except OSError:
        return None
    return found


def target(pid: int, file: int) -> str | None:
    """The name of an open file; None when it is not open, or may not be read."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{file}")
    except OSError:
        return None


def info(pid: int, file: int) -> str:
    return reading.read(f"/proc/{pid}/fdinfo/{file}").decode("utf-8", "replace")


def info_line(pid: int, file: int, name: str) -> str | None:
    """The word after `name:` in what the kernel says of an open file."""
    found = re.search(rf"^{re.escape(name)}:\s*(\S+)", info(pid, file), re.M)
    return found[1] if found else None


def _is_idle(told: str) -> bool:
    """Check whether an io_uring has no files of its own, and as many ends as beginnings."""
    found = dict(re.findall(r"^(UserFiles|CachedSqHead|CachedCqTail):\s*(\d+)$", told, re.M))
    return found.get("UserFiles") == "0" and (
        "CachedSqHead" in found and found["CachedSqHead"] == found.get("CachedCqTail")
    )


def access(holder: Holder) -> int | None:
    """The access that a file was opened for; None when it cannot be read, 2 for both."""
    flags = info_line(*holder, "flags")
    return None if flags is None else int(flags, 8) & _ACCESS


def others(holders: Iterable[Holder], pid: int) -> tuple[int, ...]:
    """The processes among `holders` that are not `pid`, each once."""
    return tuple(dict.fromkeys(holder.pid for holder in holders if holder.pid != pid))
