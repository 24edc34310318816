"""The fate of each rank, and the ranks that came to grief first.

One rank's end is the end of all: those that had a connection to it raise, abort, or are ended by
the launcher, and which of these differs from run to run. So an end that a lost peer explains is
never the cause while there is another one; between the others, the first wins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from harness.detect.policy import STANDARD
from harness.detect.ranks.phrases import cut, where
from harness.detect.ranks.state import EXITED, GONE, RankState, waits_elsewhere
from harness.text import late

JOINING = "distributed_init"
IMPORT = "import"
EARLIER = ("start", IMPORT)
"""The phase in which ranks wait for each other, and those before it."""
_LOST = late.compile(
    r"\[ring\] connection to a peer was lost"
    r"|\[(ring|jaccl|ibv)\] (Couldn't connect|Accept failed)"
    r"|\[(ring|jaccl|ibv)\] (Recv|Send|Receiving|Sending)\b.* failed"
    r"|\[ring\] Too many send/recv errors"
    r"|\[Rank \d+\] connect\(\) failed after \d+ milliseconds"
)
"""The errors that MLX's backends raise when a peer is gone. Other errors tell of a rank's own
fault. A file or a server of the training's own may be called anything."""
_LOST_BY_NCCL = late.compile(
    r"remote process exited|ncclRemoteError|closed by remote peer"
    r"|Connection (refused|closed|reset|timed out)|exceeded (error )?retry count"
)
"""The same of NCCL, whose words are about its own connections alone."""
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP")
_ENDED_BY_LAUNCHER = ("SIGTERM", "SIGINT", "SIGHUP", "SIGPIPE")


class Kind(IntEnum):
    """The things that can befall a rank; of two at the same moment the smaller one is the cause."""

    KILLED = 0
    CRASHED = 1
    STOPPED = 2
    CUT_OFF = 3
    RAISED = 4
    EXITED = 5
    VANISHED = 6
    LEFT = 7
    NEVER_STARTED = 8
    ABORTED = 9
    TERMINATED = 10
    LOST = 11
    """Raised because a peer was gone."""
    ORPHANED = 12
    """Ended after the launcher had died, and nobody says how."""
    SKIPPED = 13
    """It says that this cannot run here."""

    @property
    def follows(self) -> bool:
        """True if the end of another rank explains it."""
        return self in (Kind.ABORTED, Kind.TERMINATED, Kind.LOST, Kind.ORPHANED)

    @property
    def outside(self) -> bool:
        """True if nothing that the ranks do to each other can be its cause."""
        return self in (Kind.KILLED, Kind.STOPPED, Kind.CUT_OFF)

    @property
    def witnessed(self) -> bool:
        """True if the launcher was still there to tell of it, or the rank itself does."""
        return self in (Kind.KILLED, Kind.CRASHED, Kind.RAISED, Kind.EXITED)

    @property
    def gone(self) -> bool:
        """True if the rank is no more, so that its peers cannot go on."""
        return self not in (Kind.STOPPED, Kind.CUT_OFF, Kind.NEVER_STARTED)

    @property
    def word(self) -> str:
        """The name of the kind, as evidence has it."""
        return self.name.lower()


CODES = {
    Kind.STOPPED: "rank_stopped",
    Kind.CUT_OFF: "rank_cut_off",
    Kind.LEFT: "rank_left_early",
    Kind.NEVER_STARTED: "rank_never_started",
}
"""Codes of findings; every other kind is `rank_died`."""


@dataclass(frozen=True)
class Fate:
    """What happened to a rank."""

    rank: int
    kind: Kind
    t: float
    """The time, at the earliest; infinite when it is not known to have happened at all."""
    did: str
    """The words that follow "rank 2 ": a clause with its verb."""
    at: str = ""
    """The place where it was, and the words that follow then; either may be empty."""
    more: str = ""
    exit_code: int | None = None
    """The exit code of a rank that has exited by itself, and badly."""

    @property
    def text(self) -> str:
        """The whole clause that follows "rank 2 "."""
        return f"{self.did} {self.at}".rstrip() + self.more

    def after(self, other: Fate) -> bool:
        """True if this is known to have happened because of `other`, or later."""
        return self.kind.follows or (self.known and self.t > other.t + STANDARD.rank_seen_s)

    @property
    def known(self) -> bool:
        """True if it was seen to happen."""
        return math.isfinite(self.t)

    @property
    def code(self) -> str:
        """The code of its finding."""
        return CODES.get(self.kind, "rank_died")


def fates(ranks: Sequence[RankState], now: float, hung: bool) -> dict[int, Fate]:
    """The fates by rank, of those to which something happened."""
    met = _met(ranks, hung and _are_waited_for(ranks))
    if met and all(fate.kind.follows for fate in met.values()):
        met = _met(ranks, left=True)
    if met and all(fate.kind.follows for fate in met.values()):
        met |= _raised_before(ranks, met)
    started = [s.columns.start.t for s in ranks if s.columns.start is not None]
    late = bool(started) and now - min(started) > STANDARD.rank_start_s
    lost = hung or any(fate.kind.gone for fate in met.values())
    joining = any(s.place is not None and s.place.phase == JOINING for s in ranks)
    for state in ranks:
        if state.rank in met and not met[state.rank].kind.follows:
            continue
        if not state.started and (late or lost):
            did, at = "has never started", ""
        elif joining and lost and state.place is not None and state.place.phase in EARLIER:
            did = "has never come to join the others"
            at = f"(last seen in phase {state.place.phase})"
        else:
            continue
        met[state.rank] = Fate(state.rank, Kind.NEVER_STARTED, math.inf, did, at)
    return met


def _met(ranks: Sequence[RankState], left: bool) -> dict[int, Fate]:
    """`left` says that the others do not go on without those that have ended."""
    furthest = max((state.reached for state in ranks), default=-1)
    return {
        state.rank: fate
        for state in ranks
        if (fate := _cut_off(state) or _ended(state, furthest, left) or _stopped(state))
    }


def _are_waited_for(ranks: Sequence[RankState]) -> bool:
    """True if one that is alive may wait for those that have ended well."""
    alive = (state for state in ranks if not state.ended and not state.finished)
    return any(not waits_elsewhere(state, ranks) for state in alive)


def _raised_before(ranks: Sequence[RankState], met: dict[int, Fate]) -> dict[int, Fate]:
    """The ranks that the launcher ended while they exited because of an exception of their own.

    A rank closes its connections before it is gone: a peer that loses them can be gone first. But
    one that says that it raised after another one was gone may have done so because of that.
    """
    gone = min(fate.t for fate in met.values())
    ended = (s for s in ranks if s.rank in met and met[s.rank].kind is Kind.TERMINATED)
    fates = ((s, _raised(s, met[s.rank].t)) for s in ended)
    return {
        state.rank: fate
        for state, fate in fates
        if fate is not None
        and fate.kind is Kind.RAISED
        and not _is_interrupt(state)
        and (state.columns.error is None or fate.t <= gone + STANDARD.rank_seen_s)
    }


def _is_interrupt(state: RankState) -> bool:
    """True if a signal raised its exception."""
    return state.exception is not None and state.exception.startswith("KeyboardInterrupt")


def orphaned(ranks: Sequence[RankState], met: dict[int, Fate]) -> dict[int, Fate]:
    """`met` of a job whose launcher has died: that is why ranks are gone without a word."""
    return met | {
        state.rank: replace(
            fate, kind=Kind.ORPHANED, did="ended with the launcher", at=where(state)
        )
        for state in ranks
        if (fate := met.get(state.rank)) and fate.kind is Kind.VANISHED
    }


def first(met: Iterable[Fate]) -> Fate | None:
    """The one that explains the others."""
    return min(met, key=_order, default=None)


def _order(fate: Fate) -> tuple[bool, bool, float, Kind, bool]:
    # One that is stopped may be continued, one that was killed is gone for good. Code 1 is that of
    # any exception, also of one that a lost peer explains.
    never = fate.kind is Kind.NEVER_STARTED and not fate.known
    endured = never or fate.kind is Kind.STOPPED
    return fate.kind.follows, endured, fate.t, fate.kind, fate.exit_code == 1


def _cut_off(state: RankState) -> Fate | None:
    if state.cut_off_since is None:
        return None
    more = ": nothing is heard from there any more"
    return Fate(
        state.rank, Kind.CUT_OFF, state.cut_off_since, "has been cut off", where(state), more
    )


def _stopped(state: RankState) -> Fate | None:
    if state.process != "T":
        return None
    since = state.process_since
    place = state.place
    if since is None:
        since = place.t if place else 0.0
    return Fate(state.rank, Kind.STOPPED, since, "is stopped by a signal", where(state))


def _ended(state: RankState, furthest: int, left: bool) -> Fate | None:
    rank, at = state.rank, where(state)
    seen = state.ended_t if state.ended_t is not None else math.inf
    if state.signal is not None:
        kind = _of_signal(state.signal)
        t = seen - STANDARD.rank_seen_s * (kind is Kind.KILLED)
        return Fate(rank, kind, t, f"was killed by {state.signal}", at)
    if state.ended and not state.started:
        exited = f"exit code {state.exit_code}" if state.exit_code is not None else ""
        why = ": ".join(filter(None, (exited, state.error and cut(state.error))))
        more = f": {why}" if why else ""
        return Fate(rank, Kind.NEVER_STARTED, seen, "has never started", more=more)
    beat = state.columns.error
    if beat is not None and beat.skip:
        return Fate(rank, Kind.SKIPPED, beat.t, f"cannot run here: {cut(beat.message)}")
    raised = _raised(state, seen)
    if raised is not None:
        return raised
    if state.exit_code:
        code, reason = state.exit_code, state.library_error
        kind = Kind.LOST if reason is not None and _LOST_BY_NCCL.search(reason) else Kind.EXITED
        more = f": {cut(reason)}" if reason else ""
        return Fate(rank, kind, seen, f"exited with code {code}", at, more, exit_code=code)
    if state.swept and not state.finished:
        return Fate(rank, Kind.TERMINATED, seen, "was ended by the launcher", at)
    return _left(state, seen, furthest, left)


def _raised(state: RankState, seen: float) -> Fate | None:
    text, beat, at = state.exception, state.columns.error, where(state)
    if text is None:
        return None
    kind = Kind.LOST if _LOST.search(text) else Kind.RAISED
    t = beat.t if beat else seen
    return Fate(state.rank, kind, t, f"raised {cut(text)}", f"({at})" if at else "")


def _left(state: RankState, seen: float, furthest: int, left: bool) -> Fate | None:
    """Ended well, but too soon: it says so itself, or others have begun steps that it never did."""
    end, done = state.columns.end, state.columns.done
    if state.finished:
        after = "before its first step" if done is None else f"after step {done}"
        if left and end is None:
            at = "" if done is None else after
            kind = Kind.VANISHED if state.well == GONE else Kind.LEFT
            return Fate(state.rank, kind, seen, state.well, at, ", and the others were left")
        if furthest <= (-1 if done is None else done) or (done is None and end is None):
            return None
        more = f", while others have begun step {furthest}"
        return Fate(state.rank, Kind.LEFT, end.t if end else seen, "left", after, more)
    if state.exit_code == 0:
        more = ", before all steps were over"
        return Fate(state.rank, Kind.LEFT, seen, EXITED, where(state), more)
    if state.ended:
        return Fate(state.rank, Kind.VANISHED, seen, GONE, where(state))
    return None


def _of_signal(name: str) -> Kind:
    if name == "SIGABRT":
        return Kind.ABORTED
    if name in _ENDED_BY_LAUNCHER:
        return Kind.TERMINATED
    return Kind.CRASHED if name in _CRASHES else Kind.KILLED
