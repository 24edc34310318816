"""One verdict for a job of several ranks, and one for each of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.detect.ranks.findings import findings
from harness.detect.ranks.job_state import look
from harness.detect.ranks.rank_status import results
from harness.detect.ranks.state import RankState
from harness.detect.ranks.summary import summary
from harness.model import Finding, RankResult, Severity


@dataclass(frozen=True)
class JobVerdict:
    """The fault of a job, and the ranks that cause it."""

    code: str | None
    """The code of the first finding; None when nothing is wrong."""
    culprits: tuple[int, ...]
    """The slow ones where nothing worse is wrong; empty also where nobody can be named."""
    summary: str
    """One sentence."""
    ranks: tuple[RankResult, ...]
    """In the order in which they were given."""
    findings: tuple[Finding, ...]
    gone: tuple[int, ...] = ()
    """The ranks that are no more though the others need them: nothing brings those back."""
    skipped: str | None = None
    """The reason why this cannot run here, if a rank says so and nothing else is wrong."""

    @property
    def failed(self) -> bool:
        """True if the job cannot go on, or has not ended well; slow is not that."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def judge(
    ranks: Sequence[RankState], now: float, hung: bool = False, launcher: str | None = None
) -> JobVerdict:
    """The verdict on the job of these `ranks` at `now`, a time of the beats' clock.

    Without `hung` only facts count: who died, is stopped, cut off or slow, left, never started, or
    issued other collectives than the rest. With it, when a watchdog has confirmed that the job
    does not move, also who is behind the others. `launcher` is the signal that has killed what had
    started the ranks: nobody tells any more how they ended then.
    """
    case = look(ranks, now, hung, launcher)
    told = summary(case)
    found = findings(case, told)
    slow = tuple(sorted(one.rank for one in case.slow))
    return JobVerdict(
        code=found[0].code if found else None,
        culprits=case.culprits if case.problem else slow,
        summary=told,
        ranks=results(case),
        findings=found,
        gone=tuple(sorted(rank for rank, fate in case.met.items() if fate.kind.gone)),
        skipped=case.skipped if case.problem is None else None,
    )
