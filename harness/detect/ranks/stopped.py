"""Ranks that a signal has stopped, and that were continued. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.detect.policy import STANDARD
from harness.detect.ranks import RankState
from harness.model import Finding
from harness.model.finding import warning
from harness.text.units import duration

MANY = 64
"""Stops of which findings tell at most."""


@dataclass(frozen=True)
class Stop:
    """One that is over."""

    rank: int
    step: int | None
    seconds: float

    @property
    def text(self) -> str:
        """The stop in a clause."""
        at = "" if self.step is None else f" in step {self.step}"
        return f"rank {self.rank} was stopped by a signal{at} for {duration(self.seconds)}"


class Stops:
    """Folds the states of a job's ranks, look by look."""

    def __init__(self) -> None:
        self.over: list[Stop] = []
        self._open: dict[int, tuple[float, int | None]] = {}
        """The time and the step in which a stopped rank was stopped, by rank."""

    def look(self, states: Iterable[RankState], now: float) -> Sequence[Stop]:
        """The stops that are over since the look before."""
        over = []
        for state in states:
            rank, place = state.rank, state.place
            if state.process == "T" and not state.ended:
                step = place.step if place and place.step >= 0 else None
                since = now if state.process_since is None else state.process_since
                self._open.setdefault(rank, (since, step))
            elif rank in self._open and (state.process is not None or state.ended):
                since, step = self._open.pop(rank)
                # What was killed while it was stopped was not continued.
                went_on = not state.ended or state.finished or state.exit_code is not None
                if went_on and now - since >= STANDARD.brief_stop_s:
                    over.append(Stop(rank, step, now - since))
        self.over += over
        return over

    def findings(self) -> list[Finding]:
        """A warning for each stop that is over, at most `MANY`."""
        return [
            warning(
                "rank_was_stopped",
                f"{stop.text}, and was then continued",
                rank=stop.rank,
                step=stop.step,
                seconds=round(stop.seconds, 3),
            )
            for stop in self.over[:MANY]
        ]
