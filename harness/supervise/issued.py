"""The collectives of a watched command's ranks, as their own Python tells them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.beats.issued import IssuedReader, files
from harness.detect.ranks import JobColumns, RankColumns
from harness.detect.ranks.rank_end import IMPORT, JOINING
from harness.inject.inside.collectives import JOINS, TOGETHER
from harness.model import Position

EARLY = 4096
"""Collectives before the first step, at most, of a rank that is taken to report steps later."""


class IssuedByRanks:
    """The collectives that the ranks whose folders are in `own` have issued.

    It is laid out twice: by the steps that the ranks report, into `columns`, and by number alone.
    """

    def __init__(self, own: Path, columns: JobColumns) -> None:
        self._own = own
        self._columns = columns
        self._ranks: dict[int, _Rank] = {}

    def read(self, ranks: Iterable[int]) -> None:
        """Read what is new of these."""
        for rank in ranks:
            one = self._ranks.get(rank)
            if one is None:
                home = self._own / f"rank-{rank}"
                one = self._ranks[rank] = _Rank(home, self._columns[rank])
            one.read()

    def by_number(self, ranks: Iterable[int]) -> dict[int, RankColumns]:
        """The collectives of each of `ranks`, if all of them tell; else none.

        One that does not tell is not one that has issued nothing. Nor can two be compared of which
        one has begun its next program, or has not compiled what the other one has.
        """
        known = {rank: self._ranks[rank] for rank in ranks if rank in self._ranks}
        told = [one for one in known.values() if one.tells]
        kinds = {(one.programs, one.by_number.compiles) for one in told}
        if len(told) < len(list(ranks)) or len(kinds) > 1:
            return {}
        return {rank: one.by_number for rank, one in known.items()}

    def place(self, rank: int, now: float) -> Position | None:
        """The place of a rank as long as it has not joined the others, and some of them tell."""
        if not any(one.programs for one in self._ranks.values()):
            return None
        one = self._ranks.get(rank)
        return None if one is None else one.place(now)

    def by_step(self, ranks: Iterable[int]) -> bool:
        """True if all of `ranks` know the step of each collective that they issue."""
        told = [self._ranks[rank] for rank in ranks if rank in self._ranks]
        return all(one.tells and one.programs == 1 and one.stepped for one in told)


class _Rank:
    """One rank: the programs that it has run one after the other, each in a process of its own."""

    def __init__(self, home: Path, columns: RankColumns) -> None:
        self._home = home
        self._columns = columns
        self._readers: dict[Path, IssuedReader] = {}
        self._told: Path | None = None
        """The file of the program that has told something last."""
        self.by_number = RankColumns(columns.tables, by_number=True)
        self.programs = 0
        """The number of programs that have issued any, or else 1."""
        self.stepped = False
        """True if it knows the step of what it issues."""
        self._early = 0

    @property
    def tells(self) -> bool:
        """True if all that it issues is known."""
        if any(one.incomplete for one in self._readers.values()):
            return False
        # Among those that were missed some may have been traced, and do not count.
        missed = self.by_number.gaps and self.by_number.compiles
        return self.programs > 0 and not missed

    def place(self, now: float) -> Position | None:
        if self.by_number.last is not None:
            return None
        told = [one for one in self._readers.values() if one.began is not None]
        last = max(told, key=lambda one: one.began or 0.0, default=None)
        if last is None:
            return Position(-1, IMPORT, now)
        if last.joined == TOGETHER:
            return None
        return Position(-1, JOINING if last.joined == JOINS else IMPORT, last.began or now)

    def read(self) -> None:
        for path in files(self._home):
            self._readers.setdefault(path, IssuedReader(path))
        news = [(path, reader.read()) for path, reader in self._readers.items()]
        begun = {path: one.began for path, one in self._readers.items() if one.began is not None}
        if begun:
            self.programs = max(1, sum(one.issued > 0 for one in self._readers.values()))
        for path, new in sorted(news, key=lambda one: begun.get(one[0], 0.0)):
            if new and path != self._told:
                self._told = path
                self.by_number = RankColumns(self._columns.tables, by_number=True)
            for beat in new:
                self.by_number.add(beat)
                self._early += not self.stepped
                self.stepped = self.stepped or (beat.step >= 0 and self._early <= EARLY)
                if self._early <= EARLY:
                    self._columns.add(beat)
