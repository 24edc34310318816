"""All that is known of a job at the moment of its verdict, and why it does not go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.detect.ranks.phrases import named
from harness.detect.ranks.rank_end import Fate, Kind, fates, first, orphaned
from harness.detect.ranks.sequences import Mismatch, first_mismatch
from harness.detect.ranks.state import RankState
from harness.detect.ranks.stragglers import Slow, slow_ranks
from harness.stacks.wait_rules import Category

_PEERS = (Category.COLLECTIVE, Category.STREAM_EVALUATION, Category.IO, Category.IDLE)
"""As what a wait for a peer shows: the ring's survivors wait in a future or in recv."""


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
class Case:
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

    @property
    def culprits(self) -> tuple[int, ...]:
        return self.problem.culprits if self.problem else ()

    @property
    def lost(self) -> bool:
        """True if nothing can move any more: it hangs, or a rank is gone."""
        return self.hung or any(fate.kind.gone for fate in self.met.values())

    @property
    def waiting(self) -> list[RankState]:
        """Alive ranks that wait for the culprits, or for whoever is late."""
        causes = set(self.culprits or self.late)
        joining = self.problem is not None and self.problem.code == "rank_never_started"
        return [
            state
            for state in self.ranks
            if state.rank not in causes
            and state.rank not in self.met
            and not state.finished
            and (state.waits or (joining and state.place is not None and state.place.step < 0))
        ]


def look(ranks: Sequence[RankState], now: float, hung: bool, launcher: str | None) -> Case:
    met = fates(ranks, now, hung)
    if launcher is not None:
        met = orphaned(ranks, met)
    lost = hung or any(fate.kind.gone for fate in met.values())
    # A graph that is evaluated is complete, unless its rank came to grief by itself.
    blameless = (s for s in ranks if s.rank not in met or met[s.rank].kind.follows)
    evaluating = frozenset(state.rank for state in blameless if lost and state.waits)
    mismatch = first_mismatch(ranks, evaluating)
    late = _late(ranks, hung)
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
        problem=_problem(ranks, met, None if harmless else origin, mismatch, late, hung, launcher),
        origin=origin,
        uneven=tuple(met.values()) if uneven else (),
        skipped=origin.text if origin is not None and skipped else None,
        late=late,
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
    keys = {state.rank: _progress(state) for state in alive}
    if not keys:
        return ()
    least = min(keys.values())
    if least < max(keys.values()):
        return tuple(rank for rank, key in keys.items() if key == least)
    waiting = [state for state in alive if state.waits]
    if waiting and len(waiting) < len(alive):
        return tuple(state.rank for state in alive if not state.waits)
    # All evaluate the same: only what their stacks show can tell them apart.
    looked = [state for state in alive if state.wait is not None]
    elsewhere = [s.rank for s in looked if s.wait and s.wait.category not in _PEERS]
    return tuple(elsewhere) if hung and 2 * len(elsewhere) < len(looked) else ()


def _progress(state: RankState) -> tuple[int, int]:
    """Steps whose collectives are all issued, and collectives issued: these only ever rise."""
    place, columns = state.place, state.columns
    # Of a compiled step only what was traced is known, and when that is differs from rank to rank.
    issued = 0 if columns.compiles else columns.total
    if place is None:
        return -2, issued
    return place.step + (place.step >= 0 and state.waits), issued
