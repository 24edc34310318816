"""All that is known of a job at the moment of its verdict, and why it does not go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.detect.ranks.mismatch import Mismatch
from harness.detect.ranks.phrases import named
from harness.detect.ranks.rank_end import Fate, Kind, fates, first, orphaned
from harness.detect.ranks.sequences import first_mismatch
from harness.detect.ranks.state import RankState, waits_elsewhere
from harness.detect.ranks.stragglers import Slow, slow_ranks


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The reason why a job does not go on."""

    code: str
    """The code of the finding."""
    culprits: tuple[int, ...]
    """Empty where nobody can be named."""
    told: str = ""
    """The fault in words, where that is more than the fate or the place of the culprits."""
    ended: bool = False
    """True if the culprits are gone: then that is said first."""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Never:
    """A collective that ranks have not issued and others have."""

    n: int
    op: str
    step: int | None
    ranks: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is known of all ranks of a job at one moment, and what is wrong with it."""

    ranks: Sequence[RankState]
    now: float
    hung: bool
    met: dict[int, Fate]
    """The fate of each rank to which something happened, by rank."""
    mismatch: Mismatch | None
    slow: tuple[Slow, ...]
    problem: Problem | None
    origin: Fate | None
    """The fate that explains the others."""
    uneven: tuple[Fate, ...]
    """Ranks that had done fewer steps than others when all were over, and well."""
    skipped: str | None
    """The reason why this cannot run here, as a rank says."""
    late: tuple[int, ...]
    """The ranks that the others wait for, by how far they are; empty where all are even."""
    foreign: bool
    """True if the training is a command, which knows nothing of the harness."""

    @property
    def culprits(self) -> tuple[int, ...]:
        """The ranks that are at fault, by number; empty where nobody can be named."""
        return self.problem.culprits if self.problem else ()

    @property
    def never(self) -> Never | None:
        """The first collective that culprits have not issued and another one has.

        None also where that cannot be said: of compiled steps, and where what they issued differs.
        """
        compiled = any(s.issued.compiles and not s.issued.by_number for s in self.ranks)
        if compiled or self.mismatch is not None or not self.culprits:
            return None
        culprits = set(self.culprits)
        issued = {s.rank: s.issued.total for s in self.ranks if s.rank in culprits}
        n = min(issued.values())
        ahead = max((state.issued for state in self.ranks), key=lambda columns: columns.total)
        found = ahead.nth(n)
        if found is None:
            return None
        return Never(
            n=n,
            op=found[1].op,
            step=None if ahead.by_number else found[0],
            ranks=tuple(rank for rank, total in issued.items() if total == n),
        )

    @property
    def lost(self) -> bool:
        """True if nothing can move any more: it hangs, or a rank is gone."""
        return self.hung or any(fate.kind.gone for fate in self.met.values())

    @property
    def waiting(self) -> list[RankState]:
        """Alive ranks that wait for the culprits, or for whoever is late."""
        causes = set(self.culprits or self.late)
        joining = self.problem is not None and self.problem.code == "rank_never_started"
        least = min((s.issued.total for s in self.ranks if s.rank in causes), default=0)
        return [
            state
            for state in self.ranks
            if state.rank not in causes
            and state.rank not in self.met
            and not state.finished
            and (
                state.waits
                or (joining and state.place is not None and state.place.step < 0)
                or (
                    state.numbered is not None
                    and state.issued.total > least
                    and state.waits_as_a_peer
                )
            )
        ]


def look(ranks: Sequence[RankState], now: float, hung: bool, launcher: str | None) -> Case:
    """Judge the ranks of a job at the time `now`, in seconds of the monotonic clock.

    `hung` says that nothing of the job moves any more. `launcher` is the signal that killed
    what had started the ranks; None if none did.
    """
    met = fates(ranks, now, hung)
    if launcher is not None:
        met = orphaned(ranks, met)
    lost = hung or any(fate.kind.gone for fate in met.values())
    # A graph that is evaluated is complete, unless its rank came to grief by itself.
    blameless = (s for s in ranks if s.rank not in met or met[s.rank].kind.follows)
    evaluating = frozenset(state.rank for state in blameless if lost and state.waits)
    mismatch = first_mismatch(ranks, evaluating)
    late = _late(ranks, hung)
    foreign = any(not state.says_end for state in ranks)
    origin = first(met.values())
    over = not hung and all(state.finished for state in ranks)
    uneven = over and all(fate.kind is Kind.LEFT for fate in met.values())
    skipped = origin is not None and origin.kind is Kind.SKIPPED
    harmless = uneven or skipped
    return Case(
        ranks=ranks,
        now=now,
        hung=hung,
        met=met,
        mismatch=mismatch,
        slow=() if lost else slow_ranks(ranks),
        problem=_problem(
            ranks,
            met,
            None if harmless else origin,
            # A training of somebody else's goes on or ends well as it is: that is no failure.
            None if foreign and not lost else mismatch,
            late,
            hung,
            launcher,
        ),
        origin=origin,
        uneven=tuple(met.values()) if uneven else (),
        skipped=origin.text if origin is not None and skipped else None,
        late=late,
        foreign=foreign,
    )


def _problem(
    ranks: Sequence[RankState],
    met: dict[int, Fate],
    origin: Fate | None,
    mismatch: Mismatch | None,
    late: tuple[int, ...],
    hung: bool,
    launcher: str | None,
) -> Problem | None:
    if launcher is not None and (origin is None or not origin.kind.witnessed):
        return Problem(
            code="launcher_died",
            culprits=(),
            told=f"the launcher was killed by {launcher}",
            ended=True,
            evidence={"signal": launcher},
        )
    if mismatch is not None and (origin is None or not origin.kind.outside):
        return Problem(
            code="collective_mismatch",
            culprits=mismatch.odd,
            told=mismatch.told,
            evidence=mismatch.evidence(),
        )
    if origin is not None:
        among = _undecided(ranks, met, origin)
        evidence = {"kind": origin.kind.word}
        if len(among) > 1:
            return Problem(
                code=origin.code,
                culprits=(),
                told=f"{named(among)} {origin.did} at the same time; which of them failed first is "
                "not known",
                ended=True,
                evidence=evidence | {"among": list(among)},
            )
        return Problem(
            code=origin.code,
            culprits=among or _together(met, origin),
            ended=origin.kind.gone,
            evidence=evidence,
        )
    return Problem(code="rank_silent", culprits=late) if hung else None


def _together(met: dict[int, Fate], origin: Fate) -> tuple[int, ...]:
    """Whom the same thing befell at the same moment: a host's ranks, mostly."""
    alike = (fate for fate in met.values() if fate.kind is origin.kind)
    return tuple(sorted(fate.rank for fate in alike if _joint(fate, origin)))


def _joint(fate: Fate, origin: Fate) -> bool:
    if fate.rank == origin.rank:
        return True
    if origin.kind in (Kind.STOPPED, Kind.CUT_OFF, Kind.NEVER_STARTED):
        return fate.known == origin.known
    # An end that a lost peer explains is explained by the first of them.
    return not origin.kind.follows and not fate.after(origin)


def _undecided(ranks: Sequence[RankState], met: dict[int, Fate], origin: Fate) -> tuple[int, ...]:
    """The ranks that one look found to have exited, of which exceptions are not known: one is to
    blame, and the others may have raised because of it, and have exited just the same."""
    told = any(fate.kind in (Kind.RAISED, Kind.LOST) for fate in met.values())
    if origin.kind is not Kind.EXITED or told or all(state.says_end for state in ranks):
        return ()
    alike = (fate for fate in met.values() if fate.kind is Kind.EXITED and fate.t == origin.t)
    return tuple(sorted(fate.rank for fate in alike if fate.exit_code == origin.exit_code))


def _late(ranks: Sequence[RankState], hung: bool) -> tuple[int, ...]:
    """The ranks that the others wait for, of those that are alive."""
    alive = [state for state in ranks if not state.ended and not state.finished]
    # One that does not tell what it issues is not one that has issued nothing.
    alive = [state for state in alive if state.numbered is not None] or alive
    # One that waits in a collective keeps nobody waiting: lazily, others may be far ahead of it.
    free = [state for state in alive if not (state.numbered is not None and state.enters)]
    some = 0 < len(free) < len(alive)
    alive = free or alive
    keys = {state.rank: _progress(state) for state in alive}
    if not keys:
        return ()
    least = min(keys.values())
    if some or least < max(keys.values()):
        return tuple(rank for rank, key in keys.items() if key == least)
    waiting = [state for state in alive if state.waits]
    if waiting and len(waiting) < len(alive):
        return tuple(state.rank for state in alive if not state.waits)
    # All evaluate the same: only what their stacks show can tell them apart.
    looked = [state for state in alive if state.wait is not None]
    if hung and any(state.finished for state in ranks):
        return tuple(state.rank for state in alive if waits_elsewhere(state, ranks))
    elsewhere = [state.rank for state in looked if not state.waits_as_a_peer]
    return tuple(elsewhere) if hung and 2 * len(elsewhere) < len(looked) else ()


def _progress(state: RankState) -> tuple[int, int]:
    """Steps whose collectives are all issued, and collectives issued: these only ever rise."""
    place, columns = state.place, state.issued
    if columns.by_number:
        return 0, columns.total  # which says more, and sooner, than what it prints
    # Of a compiled step only what was traced is known, and when that is differs from rank to rank.
    issued = 0 if columns.compiles else columns.total
    if place is None:
        return -2, issued
    return place.step + (place.step >= 0 and state.waits), issued
