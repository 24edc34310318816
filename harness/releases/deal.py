"""The hosts of a plan, and which of them has which run. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

MOST_LOSSES = 2
"""A run that took as many hosts with it is given to no other one."""


class Deal:
    """The runs that wait, those under way, and the hosts that are left."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = hosts
        self.gone: dict[int, str] = {}
        """The reason of each host that is used no more."""
        self._waiting: deque[int] = deque()
        self._given: dict[int, int] = {}
        self._losses: defaultdict[int, list[str]] = defaultdict(list)

    def add(self, numbers: Iterable[int]) -> None:
        """More runs, to be given in this order."""
        self._waiting.extend(numbers)

    @property
    def open(self) -> bool:
        """True while a run waits or is under way."""
        return bool(self._waiting or self._given)

    @property
    def left(self) -> int:
        """The number of hosts that are used."""
        return len(self.hosts) - len(self.gone)

    @property
    def waiting(self) -> tuple[int, ...]:
        return tuple(self._waiting)

    def give(self) -> list[tuple[int, int]]:
        """(host, run) for each host that is free, as long as runs wait."""
        given = []
        for host in range(len(self.hosts)):
            if self._waiting and host not in self.gone and host not in self._given:
                self._given[host] = self._waiting.popleft()
                given.append((host, self._given[host]))
        return given

    def ended(self, host: int) -> None:
        """The run of `host` has its result."""
        del self._given[host]

    def lost(self, host: int, reason: str, during: bool) -> tuple[int, str] | None:
        """`host` is used no more. Its run goes to another one, before all that wait.

        A run that was lost `during` its time twice is given up, and returned with the reasons. One
        that never began says nothing against itself.
        """
        number = self._given.pop(host)
        self.gone[host] = reason
        if during:
            self._losses[number].append(f"{self.hosts[host]}: {reason}")
        reasons = self._losses[number]
        if len(reasons) >= MOST_LOSSES:
            return number, "; ".join(reasons)
        self._waiting.appendleft(number)
        return None

    def why_none(self) -> str:
        """The hosts with their reasons, once none is left."""
        return "; ".join(f"{self.hosts[at]}: {reason}" for at, reason in self.gone.items())
