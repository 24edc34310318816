"""One doubt about a run: said at once, taken back when it goes on, and a hang after patience."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.detect.chain.links import Chain, Ends
from harness.detect.policy import STANDARD
from harness.detect.verdicts import Answer, Judged
from harness.detect.watchdog import Judgment
from harness.model import Cause, Doubt, Patience
from harness.supervise.handling import Handling
from harness.supervise.inspection import Inspected
from harness.supervise.run_state import RunState
from harness.text.units import duration

_CODES = {
    Ends.STOPPED: "stopped",
    Ends.TRACED: "stopped",
    Ends.MEMORY: "starved",
    Ends.NETWORK: "waiting",
    Ends.FILE_SYSTEM: "waiting",
    Ends.PROGRAM: "waiting",
    Ends.PEERS: "waiting",
    Ends.OUTSIDE: "waiting",
    Ends.GPU_WORKS: "waiting",
    Ends.POLLS: "waiting",
}


class OpenDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """A doubt that stands. Times as of the looks' clock."""

    since: float
    """When it was first said."""
    lasted: float
    """Seconds that the phase had lasted then, without those in which it could not go on."""
    cause: Cause
    """The cause that the run has if it never goes on."""
    fingerprint: str = ""

    def over(self, lasted: float, patience: Patience, longest: float, known: bool) -> bool:
        """True if it has stood as long as it may, now that the phase has lasted for `lasted`.

        `longest` is that of such a phase before.
        """
        lasts = patience.of(longest)
        return lasted - self.lasted >= (min(lasts, STANDARD.known_hang_s) if known else lasts)

    def record(self, started: float, taken_back: float | None) -> Doubt:
        """The doubt as run.json has it."""
        evidence = self.cause.evidence
        return Doubt(
            said_s=self.since - started,
            taken_back_s=None if taken_back is None else taken_back - started,
            summary=self.cause.summary,
            chain=tuple(evidence.get("chain", ())),
            end=evidence.get("end", {}),
        )


class Doubts:
    """The doubt about a run that stands, and those that are over."""

    def __init__(self, run: RunState, handling: Handling) -> None:
        self._run = run
        self._handling = handling
        self.open: OpenDoubt | None = None
        """The doubt that was said and not taken back."""
        self.over: list[Doubt] = []

    def say(self, cause: Cause, fingerprint: str, now: float) -> None:
        """The run is doubted for this cause, which may become a better one while it is."""
        lasted = self._run.judgment.lasted  # 0 while it is stopped
        if self.open is not None:
            self.open = msgspec.structs.replace(
                self.open, cause=cause, lasted=self.open.lasted or lasted
            )
            return
        self.open = OpenDoubt(since=now, lasted=lasted, cause=cause, fingerprint=fingerprint)
        self._handling.notify("doubt", self._run.info.name, cause)
        self._run.log.stage("possible hang: %s", cause.summary)

    def of(self, code: str) -> Cause | None:
        """The cause that the run is doubted for, if it is this one."""
        cause = self.open.cause if self.open is not None else None
        return cause if cause is not None and cause.code == code else None

    def went_on(self) -> bool:
        """True if a beat has come since the doubt was said."""
        return self.open is not None and self._run.judgment.last_progress > self.open.since

    def seen_since(self, t: float) -> bool:
        """True if an inspection that began at `t` is not the one because of which it was said."""
        return self.open is not None and t > self.open.since

    def stood_its_patience(self, now: float) -> bool:
        """True if the doubt has stood so long that the run is called hung.

        The time in which it, or we, were stopped does not count.
        """
        assert self.open is not None
        judgment = self._run.judgment
        longest = self._run.watchdog.longest(judgment.phase)
        known = self.open.fingerprint in self._handling.known_hangs
        if not self.open.over(judgment.lasted, self._handling.patience, longest, known):
            return False
        if self.open.fingerprint:
            # Without stacks every hang would be the same.
            self._handling.known_hangs.add(self.open.fingerprint)
        if known:
            self._run.notes.append(
                "an earlier run hung in the same way: this one is given less time"
            )
        stood = duration(now - self.open.since)
        self._run.log.stage("the possible hang has lasted %s: the patience with it is over", stood)
        return True

    def take_back(self, now: float) -> None:
        """The run goes on, or what it waits for does."""
        if self.open is None:
            return
        lasted = duration(now - self.open.since)
        self._run.notes.append(f"the doubt is taken back after {lasted}: it goes on")
        self._handling.notify("taken_back", self._run.info.name, self.open.cause)
        self._run.log.stage("not a hang: it goes on, %s after it was a possible hang", lasted)
        self._close(now)

    def ended(self, now: float, by_itself: bool) -> None:
        """The run has ended before it was looked at again. One that did so by itself went on."""
        if by_itself:
            self.take_back(now)
        self._close(None)

    def confirm(self) -> None:
        """The run is called hung, whether because of the doubt or of something else."""
        self._close(None)

    def _close(self, taken_back: float | None) -> None:
        if self.open is not None:
            self.over.append(self.open.record(self._run.clock.start, taken_back))
            self.open = None


def proven(judged: Judged, place: str) -> Cause:
    """The cause of a deadlock that is proven. `place` says where, as in `in phase eval`."""
    chain = judged.chain
    text = chain.describe() if chain is not None else judged.summary
    return Cause(
        code="deadlock",
        proven=True,
        summary=f"deadlock {place}: {text}",
        evidence=_kept(judged),
    )


def stopped(judged: Judged, place: str) -> Cause:
    """The cause of a run that waits for a process that is stopped, if nobody continues that."""
    assert judged.chain is not None
    return Cause(
        code="stopped", summary=f"{place}: {judged.chain.describe()}", evidence=_kept(judged)
    )


def suspected(judged: Judged, judgment: Judgment) -> Cause:
    """The cause that an overdue run has if it never goes on."""
    chain = judged.chain
    assert chain is not None
    evidence: dict[str, Any] = {
        "phase_s": round(judgment.lasted, 3),
        "allowed_s": round(judgment.allowed, 3),
        "phase_max_s": None if judgment.usual is None else round(judgment.usual, 6),
    }
    return Cause(
        code=_CODES.get(chain.end.kind, "waiting" if _elsewhere(chain) else "stalled"),
        summary=f"{judgment.overrun}: {chain.describe()}",
        evidence=evidence | _kept(judged),
    )


def _elsewhere(chain: Chain) -> bool:
    """True if the chain ends in another process than it begins in."""
    return bool(chain.links) and chain.links[0].pid != chain.links[-1].pid


def deciding(inspected: Inspected) -> Judged:
    """The judgment of the root, or of the rank that decides for its job: the last one, or one of
    several."""
    tree, ranks = inspected.tree, tuple(inspected.observed.ranks.values())
    if tree.job is not None and tree.decided_by in tree.by_pid:
        return tree.by_pid[tree.decided_by]
    alone = ranks[0] if len(ranks) == 1 else inspected.observed.root
    return tree.by_pid.get(alone, tree.processes[0])


def is_dead(inspected: Inspected) -> bool:
    """True if the inspection proves a deadlock of the thread that trains."""
    return deciding(inspected).answer is Answer.DEADLOCK


def _kept(judged: Judged) -> dict[str, Any]:
    """The part of a judgment's evidence that a cause keeps."""
    left_out = ("rss", "watched_s", "io_bytes", "minor_faults", "fingerprint")
    return {key: value for key, value in judged.evidence.items() if key not in left_out}
