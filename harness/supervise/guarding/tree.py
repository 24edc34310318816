"""The processes that are left, as a table shows them, and those that cannot be ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would take longer
if TYPE_CHECKING:
    from typing import Protocol

    class Family(Protocol):
        """The processes that a guard answers for, as its platform shows them."""

        def enter(self, supervisor: int, guard: int) -> bool:
            """To be called in the child, between its fork and its program. False if the guard is
            not there any more."""

        def adopt(self, worker: int) -> None:
            """To be called once, with the pid of the worker that has just been started."""

        def below(self, childless: bool) -> list[tuple[int, bool]]:
            """All processes of the family now, and whether each has ended.

            `childless`: whether the kernel has said that the guard has no child.
            """

        def calm(self, left: list[int], rest: Iterable[int], childless: bool) -> bool:
            """True if nothing is left for sure. `left`: the processes just seen that are to end;
            `rest`: the others."""

        def same(self, pid: int) -> bool:
            """True while `pid` is the process that `below` has shown, and no later one."""

        def in_kernel(self, pid: int) -> object:
            """The figures that change while a process moves that takes no signal; else None."""

        def sources(self) -> list[int]:
            """File descriptors that become readable when `news` should be asked."""

        def news(self) -> bool:
            """Take in what `sources` have told. True if it is that the supervisor has ended."""


MARK = "HARNESS_FOLDER"
"""Variable by which a process is known as ours, whatever became of its parents."""
STUCK_S = 5.0
"""The time after its SIGKILL from which on a process that does not move is left as it is."""


def below(table: Iterable[tuple[int, int, bool]], root: int) -> list[tuple[int, bool]]:
    """The processes below `root`, and whether each has ended.

    `table` has of each process its parent, and whether it is a zombie.
    """
    children: dict[int, list[tuple[int, bool]]] = {}
    for pid, parent, ended in table:
        children.setdefault(parent, []).append((pid, ended))
    found, todo = [], [root]
    while todo:
        for pid, ended in children.get(todo.pop(), []):
            found.append((pid, ended))
            todo.append(pid)
    return found


class Calm:
    """True if nothing is left, by looks at a table that is not of one moment.

    While it is read, a process that is read already may get another parent, and one that is not
    may end: then what is below them is missing. That there is no child any more is certain, and
    nothing can be below us then, for what has lost its parent becomes our child.
    """

    def __init__(self) -> None:
        self._rest: set[int] = set()

    def look(self, left: Iterable[int], rest: Iterable[int], children: bool) -> bool:
        """`left`: the processes seen that are to end; `rest`: all others seen, zombies and those
        that may not be signaled; `children`: whether there are any, as the kernel says.

        Where it is certain that there are children, one of the rest seen twice explains them.
        """
        before, self._rest = self._rest, set(rest)
        if list(left):
            self._rest = set()
            return False
        return not children or bool(before & self._rest)


class Stuck:
    """The processes that a SIGKILL cannot end: no thread takes a signal, and none uses CPU time."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[object, float]] = {}

    def look(self, marks: dict[int, object], now: float) -> set[int]:
        """`marks` has of each such process that is killed what shows that it moves."""
        self._seen = {
            pid: self._seen[pid] if self._seen.get(pid, (None,))[0] == mark else (mark, now)
            for pid, mark in marks.items()
        }
        return {pid for pid, (_, since) in self._seen.items() if now - since >= STUCK_S}
