"""The memory that a tree of processes holds, as its platform measures it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of a tree of processes, in bytes."""

    total: int
    of: dict[int, int]
    """The share of each process."""


class Footprint(Protocol):
    """Measures one tree, at one look after the other."""

    def look(self, pids: Sequence[int], now: float, enough: int) -> Held | None:
        """The memory of `pids` at the monotonic time `now`; None where nobody can say.

        It is exact where it matters: where it may be `enough` bytes or more.
        """


class Unmeasured:
    """Stands in where a platform does not tell the memory of a process."""

    def look(self, pids: Sequence[int], now: float, enough: int) -> Held | None:
        return None
