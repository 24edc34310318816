"""The processes that descend from a worker, remembered by pid and start. Pure, but for its source.

macOS has no subreaper: a process that has lost its parent is a child of launchd. So each one that
was seen is remembered, and what nobody has seen is known by its session, or by a variable that the
worker was given. A pid alone proves nothing, for it is used again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

_ROUNDS = 8
"""Of what forks without end, the next look sees more."""


class Seen(NamedTuple):
    """One process at one moment."""

    pid: int
    parent: int
    started: int
    """Microseconds since 1970."""
    ended: bool
    """True of a zombie."""


class Source(Protocol):
    """The kernel, as it is asked about processes. What it refuses is None, empty or False."""

    def one(self, pid: int) -> Seen | None:
        """A process that runs, or is a zombie."""

    def children(self, pid: int) -> Collection[int]:
        """The pids of the children of a process now, zombies among them."""

    def everybody(self) -> Collection[int]:
        """The pids of all processes of this user."""

    def session(self, pid: int) -> int | None:
        """The number of the session that a process is in; None where it has ended."""

    def marked(self, pid: int) -> bool:
        """True if a process was given the worker's own variable."""


class Kin:
    """The worker and its descendants."""

    def __init__(
        self,
        source: Source,
        apart: Collection[int],
        met: Callable[[int], object] = lambda pid: None,
    ) -> None:
        """`apart`: the processes that are none of them, whatever is seen: the guard, and who waits
        for it. `met` is called with each one that is new, before its children are asked for."""
        self._source, self._apart, self._met = source, frozenset(apart), met
        self._known: dict[int, int] = {}
        self._began = 0

    def adopt(self, worker: int) -> None:
        """Begin with the worker."""
        seen = self._source.one(worker)
        if seen is not None:
            self._began = seen.started
            self._take([seen])

    def same(self, pid: int) -> bool:
        """True while `pid` is the process of that number which is remembered."""
        seen = self._source.one(pid)
        return seen is not None and self._known.get(pid) == seen.started

    def forked(self, pid: int) -> None:
        """Remember the children of a process that is remembered, and theirs."""
        if self.same(pid):
            self._take(self._children(pid))

    def look(self) -> list[Seen]:
        """All of them now. Those that are gone, or whose pid is another's, are forgotten."""
        asked = [(self._source.one(pid), started) for pid, started in self._known.items()]
        now = {seen.pid: seen for seen, started in asked if seen and seen.started == started}
        self._known = {pid: seen.started for pid, seen in now.items()}
        for pid in tuple(now):
            now |= self._take(self._children(pid))
        for _ in range(_ROUNDS):
            strangers = self._strangers(now.values())
            if not strangers:
                break
            now |= self._take(strangers)
        return list(now.values())

    def _children(self, pid: int) -> list[Seen]:
        asked = [self._source.one(child) for child in self._source.children(pid)]
        # A debugger's process has another parent for a while, and is no child of that one.
        return [seen for seen in asked if seen is not None and seen.parent == pid]

    def _take(self, found: Iterable[Seen]) -> dict[int, Seen]:
        """Remember these and all below them; returns those that are new."""
        taken: dict[int, Seen] = {}
        todo = list(found)
        while todo:
            seen = todo.pop()
            if seen.pid in self._apart or self._known.get(seen.pid) == seen.started:
                continue
            self._known[seen.pid] = seen.started
            taken[seen.pid] = seen
            self._met(seen.pid)
            todo += self._children(seen.pid)
        return taken

    def _strangers(self, family: Iterable[Seen]) -> list[Seen]:
        """Those that have lost their parents before they were seen.

        A session of which one member is ours is ours: a worker has its own, and a process can only
        leave it for a new one. Once it is empty, its number may be used again.
        """
        sessions = {self._source.session(seen.pid) for seen in family if not seen.ended}
        sessions -= {None, *map(self._source.session, self._apart)}
        found = []
        for pid in self._source.everybody():
            if pid in self._apart or pid in self._known:
                continue
            seen = self._source.one(pid)
            if seen is None or seen.ended or seen.started < self._began:
                continue
            if self._source.session(pid) in sessions or self._source.marked(pid):
                found.append(seen)
        return found
