"""A row of the table of ranks, in words that are not yet escaped for any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.detect.ranks.phrases import named
from harness.model import RankResult, ScenarioResult, Standing
from harness.report.text import NOTHING, known, line
from harness.text.units import duration


@dataclass(frozen=True)
class RankRow:
    """Ranks of which the same is to be said."""

    name: str
    hosts: str
    state: str
    culprit: bool
    step: str
    phase: str
    lasted: str
    collective: str
    site: str
    why: str


@dataclass(frozen=True)
class Collective:
    """The collective that some ranks of a job are in, and others are not."""

    name: str
    """Such as `all_sum #118`, where its number is known."""
    ranks: frozenset[int]

    def says(self, rank: int) -> str:
        """The words that follow the name of a rank."""
        return f"in {self.name}" if rank in self.ranks else f"not in {self.name}"


def collective(result: ScenarioResult) -> Collective | None:
    """The collective in which ranks wait for others; None where there is none, or all wait."""
    waiting = frozenset(r.rank for r in result.ranks if r.state is Standing.WAITING)
    others = [r for r in result.ranks if r.rank not in waiting and (r.wait_site or r.wait)]
    if not waiting or not others:
        return None
    found = (finding.evidence.get("never_issued") for finding in result.findings)
    never = next((one for one in found if isinstance(one, dict)), None)
    if never is None:
        return Collective("a collective", waiting)
    return Collective(line(f"{never.get('op')} #{never.get('n')}", 60), waiting)


def row(same: Sequence[RankResult]) -> RankRow:
    first = same[0]
    where = sorted({rank.host for rank in same if rank.host})
    longest = max((rank.phase_s for rank in same if rank.phase_s is not None), default=None)
    collective = NOTHING
    if first.collective is not None:
        step = "" if first.collective_step is None else f" (step {first.collective_step})"
        collective = line(f"{first.collective_op} #{first.collective}", 60) + step
    return RankRow(
        name=named(rank.rank for rank in same),
        hosts=line(", ".join(where[:2]), 80) + (f" and {len(where) - 2} more" * (len(where) > 2)),
        state=state(first),
        culprit=first.culprit,
        step=NOTHING if first.last_step is None else str(first.last_step),
        phase=line(first.last_phase or NOTHING, 40),
        lasted=known(longest, duration),
        collective=collective,
        site=line(", from ".join(filter(None, (first.wait_site, first.python_frame))), 160),
        why=line(first.reason, 240),
    )


def state(rank: RankResult) -> str:
    return rank.state.value.replace("_", " ")
