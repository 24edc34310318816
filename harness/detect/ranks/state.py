"""The state of one rank at one moment, as far as it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.death import last_words
from harness.detect.ranks.columns import RankColumns
from harness.model import Position
from harness.stacks.wait_rules import JOINS, LEAVES, Category
from harness.stacks.wait_site import WaitSite

WAITING = ("eval", "step")
"""Phases in which a step has issued its collectives, and may be blocked in any of them; `step` is
all that is known of a training that is not ours."""
PEERS = (Category.COLLECTIVE, Category.STREAM_EVALUATION, Category.IO, Category.IDLE)
"""As what a wait for a peer shows: the ring's survivors wait in a future or in recv."""
EXITED = "exited with code 0"
BY_ITSELF = "ended by itself"
GONE = "is gone without a word"
"""What may be known of a rank that is not said to have failed: some launchers say nothing."""
AFTER = ("drain", "digest", "learning", "exit")
"""Phases after the last step."""


@dataclass(frozen=True, kw_only=True)
class RankState:
    """Seen from outside, and through its beats.

    The `position` and the end must be looked at before the beats are read into `columns`: then no
    beat is missing of what they say. Take all states before anything is signaled. Times are
    those of the beats' clock.
    """

    rank: int
    columns: RankColumns = field(default_factory=RankColumns)
    """A part of the job's `JobColumns`: only ranks that share their tables can be compared."""
    numbered: RankColumns | None = None
    """The collectives that it has issued, where its own Python tells that and not the step of each
    collective."""
    host: str | None = None
    started: bool = True
    """True if its process was ever seen, or its first beat."""
    position: Position | None = None
    process: str | None = None
    """State of its process, as in /proc: R, S, D, T, Z; None when it cannot be seen."""
    process_since: float | None = None
    """The time at which that state began, if known."""
    ended_t: float | None = None
    """The time at which it was found to have ended."""
    exit_code: int | None = None
    well: str = EXITED
    """What is known of its end where its exit code is 0, or taken for that."""
    signal: str | None = None
    """Such as `SIGKILL`."""
    swept: bool = False
    """True if the launcher has ended it, because of another rank."""
    says_end: bool = True
    """True if it writes down that its steps are over: workers do, an outside command does not."""
    error: str | None = None
    """The exception that its output shows, where no beat says so."""
    library_error: str | None = None
    """The failure of NCCL that its output shows: it ends a rank without an exception."""
    wait: WaitSite | None = None
    """The wait that its stacks show, if any were taken."""
    cpu: float | None = None
    """Cores used lately: 1.0 is one of them."""
    cut_off_since: float | None = None
    """The time at which its host, which is not heard any more, was last heard."""

    @property
    def issued(self) -> RankColumns:
        """The record that has its collectives."""
        return self.columns if self.numbered is None else self.numbered

    @property
    def enters(self) -> bool:
        """True if its stacks show that it waits for its peers in a collective."""
        wait = self.wait
        return (
            wait is not None
            and wait.category is Category.COLLECTIVE
            and wait.description not in (JOINS, LEAVES)
        )

    @property
    def exception(self) -> str | None:
        """What it raised and where, in one line; None if nothing is known of that."""
        beat = self.columns.error
        if beat is None:
            return self.error
        words = last_words.of_told(beat.traceback)
        at = f", at {words.place}" if words is not None and words.place else ""
        return f"{beat.type}: {beat.message}".rstrip(": ") + at

    @property
    def finished(self) -> bool:
        """True if its steps were over, as it says itself or, if it says nothing, as it exited."""
        return self.columns.end is not None or (not self.says_end and self.exit_code == 0)

    @property
    def ended(self) -> bool:
        """True if its process has ended."""
        return self.ended_t is not None or self.exit_code is not None or self.signal is not None

    @property
    def place(self) -> Position | None:
        """The place where it is, or was last; by its beats where its slot cannot be read."""
        if self.position is not None:
            return self.position
        columns = self.columns
        if columns.recent:
            return Position(columns.recent[-1].step, "eval", columns.recent[-1].t)
        return Position(-1, "start", columns.start.t) if columns.start else None

    @property
    def steps(self) -> int:
        """The number of steps that returned; of an outside command as its log counts, from 0 or
        from 1."""
        columns = self.columns
        if self.says_end or columns.done is None:
            return columns.returned
        return columns.done + (columns.first_step == 0)

    @property
    def begun(self) -> int:
        """The last step that it has begun; -1 before the first and after the last."""
        place = self.place
        return place.step if place and place.phase not in AFTER and not self.finished else -1

    @property
    def reached(self) -> int:
        """The last step that it has begun or done, also when it is over."""
        return max(self.begun, -1 if self.columns.done is None else self.columns.done)

    @property
    def waits(self) -> bool:
        """True if it may be blocked by its peers: it evaluates, or its stacks say so."""
        if self.wait is not None and self.wait.category is Category.COLLECTIVE:
            return self.wait.description != LEAVES
        place = self.place
        return place is not None and place.phase in WAITING and not self.finished

    @property
    def waits_as_a_peer(self) -> bool:
        """True if its stacks show what a wait for a peer may show."""
        return self.wait is not None and self.wait.category in PEERS


def waits_elsewhere(state: RankState, ranks: Sequence[RankState]) -> bool:
    """True if it is seen to wait for none of those `ranks` that have ended well.

    A wait for a file or the network may be one for a peer, and so may one that no stacks show. It
    is not where the rank has issued no collective that one of them has left out.
    """
    if state.enters:
        return False
    if state.wait is not None and not state.waits_as_a_peer:
        return True
    ended = [one.numbered.total if one.numbered else -1 for one in ranks if one.finished]
    return state.numbered is not None and state.numbered.total <= min(ended, default=-1)
