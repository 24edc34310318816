"""Control groups that stop what is in them, or hold it for want of memory. Linux only.

Both versions of control groups are asked, each for the group of a process and for all around it.
"""

from __future__ import annotations

import functools
import os

from harness.observe.linux import mounts, reading

_FREEZER, _MEMORY = "freezer", "memory"


def frozen(pid: int) -> bool | None:
    """True if the group of a process, or one around it, is frozen; None if nobody can say.

    A group that is only partly frozen counts: of a thread in it nobody knows when it will run.
    """
    return Groups().frozen(pid)


def under_oom(pid: int) -> bool | None:
    """True if its group waits for memory that nobody frees, for the killer is turned off there.

    None where the groups are of the second version, which knows no such state, or cannot be read.
    """
    return Groups().under_oom(pid)


def memory_events(pid: int) -> dict[str, dict[str, int]]:
    """The counts of limits met by each group around a process since it was made, by folder.

    Such as `max`, `oom` and `oom_kill`. Two of these tell what has happened in between. Of the
    second version of control groups only.
    """
    return Groups().memory_events(pid)


def kill_counts(pid: int) -> dict[str, int]:
    """Kills of the out-of-memory killer in the own group of a process since that was made.

    By the file that counts them, of either version. A zombie is in no group of the first version.
    """
    return Groups().kill_counts(pid)


def kills_in(file: str) -> int | None:
    """The count that such a file has now; None where the group is gone or nobody counts."""
    for line in reading.read(file).splitlines():
        words = line.split()
        if words[:1] == [b"oom_kill"] and len(words) == 2:
            return int(words[1])
    return None


def oom_kills(pid: int) -> int | None:
    """Kills of the out-of-memory killer in the group of a zombie since that was made.

    None if nobody can say: the first version of control groups has forgotten where it was.
    """
    return Groups().oom_kills(pid)


class Groups:
    """The control groups of several processes at one moment: each group is asked once."""

    def __init__(self, root: str = "") -> None:
        self._root = root
        self._places = _mounted(root)
        self._known: dict[bytes, bool | None] = {}
        """The answer for processes with this list of groups, True if frozen, by the list."""

    def frozen(self, pid: int) -> bool | None:
        text = self._groups(pid)
        if text not in self._known:
            second, first = self._folders(text, ""), self._folders(text, _FREEZER)
            seen = second is not None or first is not None
            self._known[text] = (
                any(_stops(one) for one in (*(second or ()), *(first or ()))) if seen else None
            )
        return self._known[text]

    def frozen_in(self, pid: int) -> str | None:
        """The folder of the group, its own or one around it, that stops a process."""
        text = self._groups(pid)
        folders = (*(self._folders(text, "") or ()), *(self._folders(text, _FREEZER) or ()))
        # The outermost one holds those inside, and its thaw is the one that counts.
        return next((one for one in reversed(folders) if _stops(one)), None)

    def under_oom(self, pid: int) -> bool | None:
        answers = [
            b"under_oom 1" in text.splitlines()
            for folder in self._folders(self._groups(pid), _MEMORY) or ()
            if (text := reading.read(f"{folder}/memory.oom_control"))
        ]
        return any(answers) if answers else None

    def memory_events(self, pid: int) -> dict[str, dict[str, int]]:
        found = {}
        for folder in self._folders(self._groups(pid), "") or ():
            lines = [line.split() for line in reading.read(f"{folder}/memory.events").splitlines()]
            if lines:
                found[folder] = {name.decode(): int(count) for name, count in lines}
        return found

    def oom_kills(self, pid: int) -> int | None:
        own = (self._folders(self._groups(pid), "") or ())[:1]
        return next((kills_in(f"{folder}/memory.events") for folder in own), None)

    def kill_counts(self, pid: int) -> dict[str, int]:
        text = self._groups(pid)
        files = [
            f"{folder}/{name}"
            for controller, name in (("", "memory.events"), (_MEMORY, "memory.oom_control"))
            for folder in (self._folders(text, controller) or ())[:1]
        ]
        return {file: count for file in files if (count := kills_in(file)) is not None}

    def _groups(self, pid: int) -> bytes:
        return reading.read(f"{self._root}/proc/{pid}/cgroup")

    def _folders(self, groups: bytes, controller: str) -> tuple[str, ...] | None:
        """The group's folder and those around it, inner ones first; None if they are not seen.

        `controller`: of the first version; empty for the groups of the second.
        """
        if controller not in self._places:
            return None
        shown, place = self._places[controller]
        for line in groups.splitlines():
            number, names, path = os.fsdecode(line).split(":", 2)
            if controller in names.split(",") if controller else number == "0":
                return _line(f"{self._root}{place}", shown, path)
        return None


def _line(place: str, shown: str, path: str) -> tuple[str, ...] | None:
    """The folders of a group at `path` and of those around it, below a mount that shows `shown`."""
    inside = path[len(shown.rstrip("/")) :] if f"{path}/".startswith(f"{shown}/") else path
    parts = [part for part in inside.split("/") if part]
    if ".." in parts:
        return None  # it lies outside of what this container shows
    return tuple("/".join([place, *parts[:end]]) for end in range(len(parts), -1, -1))


def _stops(folder: str) -> bool:
    """True if a group of either version is frozen, or about to be."""
    if reading.read(f"{folder}/cgroup.freeze").strip() == b"1":
        return True
    if b"frozen 1" in reading.read(f"{folder}/cgroup.events").splitlines():
        return True
    return reading.read(f"{folder}/freezer.state").strip() in (b"FROZEN", b"FREEZING")


@functools.cache
def _mounted(root: str) -> dict[str, tuple[str, str]]:
    """The part that is shown and its place, by controller; the second version's key is empty."""
    found = {}
    for one in mounts.parse(reading.read(f"{root}/proc/self/mountinfo")):
        if one.type == "cgroup2":
            found[""] = (one.root, one.place)
        elif one.type == "cgroup":
            for controller in (_FREEZER, _MEMORY):
                if controller in one.options.split(","):
                    found[controller] = (one.root, one.place)
    return found
