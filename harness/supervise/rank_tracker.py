"""A job that may be of several ranks: their own story comes first, and whose fault it is."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from harness.detect.ranks import JobVerdict, RankState, judge
from harness.detect.ranks.phrases import are, named, where
from harness.detect.ranks.stopped import Stops
from harness.detect.watchdog import State
from harness.model import (
    Cause,
    Finding,
    Outcome,
    Position,
    Process,
    ScenarioInfo,
    ScenarioResult,
    WorkerSpec,
)
from harness.stacks.wait_rules import Category
from harness.stacks.wait_site import WaitSite
from harness.supervise import evidence
from harness.supervise.handling import Handling
from harness.supervise.inspection import Inspected, Inspector, Prover
from harness.supervise.job import Job
from harness.supervise.remote.frame import Seen

PEER_GRACE_S = 2.5
"""So long after a rank's death the others may end by themselves, or be ended by the launcher."""
STOPPED_S = 6.0
"""A rank that has been stopped for so long, while nothing moves, is spoken of."""
CPU_S = 1.0
"""A rank's use of the CPU is told of so long a while."""
STOPPED = "stopped"
"""Where, in the run's folder, is kept what the job was like when a rank was found to be stopped."""
LOOKED_AT = 8
"""So many ranks' stacks are evidence."""
LOST = ("rank_died", "rank_left_early", "collective_mismatch")
ENDURED = {"rank_stopped": "stopped", "rank_cut_off": "waiting"}
"""What may pass by itself, and the cause's code if it has not when the budget is over."""


@dataclass(frozen=True)
class Used:
    """A rank's CPU time at some moment, and the cores that it had used lately."""

    t: float
    cpu_s: float
    cores: float | None


class JudgedJob(Job, ABC):
    """A job whose ranks, where it has any, are judged by their own states."""

    def __init__(
        self,
        info: ScenarioInfo,
        spec: WorkerSpec,
        handling: Handling,
    ) -> None:
        self._pids: dict[int, int] = {}
        """By rank, its process."""
        self._ended: dict[int, float] = {}
        """By rank, when it was found to have ended."""
        self._used: dict[int, Used] = {}
        self._in_state: dict[int, tuple[str, float]] = {}
        self._verdict: JobVerdict | None = None
        self._failed_at: float | None = None
        self._stops = Stops()
        self._stops_told: set[int] = set()
        """Ranks of whose stop, which is not over, was told."""
        self._saving: threading.Thread | None = None
        self._saved: dict[int, WaitSite] | None = None
        """By process, what the ranks of a stopped job waited for; None: not known yet."""
        self._saved_told = False
        self._left_told: set[int] = set()
        super().__init__(info, spec, handling)

    @abstractmethod
    def _states(self, now: float) -> list[RankState]:
        """Of all ranks; empty where there are none."""

    def _at_rest(self, launcher: Process, ranks: Sequence[Process]) -> Process:
        """What starts the ranks, as the watchdog is to see it: it spins while it waits for them,
        which is no progress. While one of them is stopped, time does not count for the job."""
        held = {self._pids[rank] for rank, (state, _) in self._in_state.items() if state == "T"}
        mine = set(self._pids.values())
        stopped = any(
            one.pid in mine and (one.state == "T" or (one.state == "t" and one.pid in held))
            for one in ranks
        )
        return msgspec.structs.replace(
            launcher,
            state="T" if stopped else "S",
            cpu_s=0.0,
            io_bytes=None,
            major_faults=None,
            threads=(),
        )

    def _afar(self, rank: int) -> Seen | None:
        """What the host of a rank tells of it; None of one on this machine."""
        return None

    def _inspect_afar(self) -> None:
        """Ask the hosts of ranks for the stacks."""

    def _over(self, verdict: JobVerdict, now: float) -> bool:
        """Whether a job with this verdict, known since `_failed_at`, has had its time."""
        assert self._failed_at is not None
        return now - self._failed_at > PEER_GRACE_S

    def _follow(
        self, rank: int, processes: Sequence[Process], position: Position | None, now: float
    ) -> None:
        """`processes` has its own, and what it has started."""
        tree = below(processes, [self._pids[rank]])
        process, used = tree[0], self._used.get(rank)
        if used is None or now - used.t >= CPU_S:
            cores = (process.cpu_s - used.cpu_s) / (now - used.t) if used else None
            self._used[rank] = Used(now, process.cpu_s, cores)
        if self._cause is not None or (self._saving is not None and not self._saved_told):
            return  # while its stacks are taken it stands still, or starts up for a moment
        if process.state not in ("t", self._in_state.get(rank, ("", 0.0))[0]):
            self._in_state[rank] = (process.state, now)

    def _in_doubt(self, prover: Prover, inspector: Inspector, now: float) -> Cause | None:
        """The ranks' own story first: who died or was stopped needs no patience."""
        states = self._states(now)
        if not states:
            self._verdict = None
            return super()._in_doubt(prover, inspector, now)
        self._verdict = verdict = judge(states, now)
        self._debug.ranks(verdict.code, verdict.summary)
        self._tell_continued(states, now)
        self._tell_left(states, verdict, now)
        self._tell_saved(states)
        if verdict.code == "rank_stopped" and not verdict.gone:
            self._failed_at = None
            self._endure(verdict, now)
            return None
        if verdict.failed:
            self._failed_at = self._failed_at or now
            late = now - self._failed_at > PEER_GRACE_S
            if late or not self._may_have_ended_well(states, verdict):
                self._doubted(State.SUSPECT, verdict)
            return self._because(verdict) if self._over(verdict, now) else None
        self._failed_at = None
        if self._went_on_since_doubt():
            self._take_back(now)
        if not self.judgement.overdue:
            return None
        inspected = inspector.look(now, self.judgement.last_progress, ranks=self._near())
        return None if inspected is None else self._weigh_job(inspected, states, now)

    def _near(self) -> dict[int, int]:
        """By rank its process, of the ranks on this machine that have not ended."""
        return {
            rank: pid
            for rank, pid in self._pids.items()
            if self._afar(rank) is None and rank not in self._ended
        }

    def _weigh_job(
        self, inspected: Inspected, states: Sequence[RankState], now: float
    ) -> Cause | None:
        """The cause of a job that stands still, once the doubt has stood for its patience.

        Which rank is to blame needs no patience, where the collectives say so.
        """
        self._inspect_afar()
        afar = [seen for rank in self._pids if (seen := self._afar(rank)) is not None]
        if (self._near() and inspected.alive) or any(not seen.stuck for seen in afar):
            self._take_back(now)
            return None
        self._verdict = verdict = judge(states, now, hung=True)
        if verdict.code in LOST:
            return self._because(verdict)
        return self._weigh(inspected, now)

    def _may_have_ended_well(self, states: Sequence[RankState], verdict: JobVerdict) -> bool:
        """Of a command's rank, what it printed last may still be on its way."""
        early = verdict.code == "rank_left_early"
        return early and any(s.rank in verdict.culprits and not s.says_end for s in states)

    def _doubted(self, state: State, verdict: JobVerdict) -> None:
        # One that dies because another one has is no news; one that dies beside a stopped one is.
        about = f"{verdict.code} {verdict.culprits} {bool(verdict.gone)} {len(self._stops.over)}"
        self.judgement = msgspec.structs.replace(
            self.judgement, state=state, reason=verdict.summary, about=about
        )

    def _endure(self, verdict: JobVerdict, now: float) -> None:
        """A rank is stopped, and may be continued: told once nothing moves, and not ended."""
        if now - self.judgement.last_progress <= STOPPED_S:
            # Nobody has stopped the job itself.
            self.judgement = msgspec.structs.replace(self.judgement, state=State.ALIVE, reason="")
            return
        self._doubted(State.STOPPED, verdict)
        self._stops_told.update(verdict.culprits)
        if self._saving is None:
            self._save()

    def _save(self) -> None:
        """What a stopped job is like, while it is: nobody can look when it has been continued."""
        snapshot, last = self.snapshot, evidence.Last(self.last, self._graph)
        assert snapshot is not None
        home, of, ranks = self.folder / STOPPED, self._suspects(), self.ranks

        def save() -> None:
            found = evidence.collect(home, snapshot, last, None, 0, of, self._no_tools, ranks)
            self._saved = found.waits

        home.mkdir(exist_ok=True)
        # No signal is sent, and a process that is stopped stays so while its stacks are read.
        self._saving = threading.Thread(target=save, name="stopped", daemon=True)
        self._saving.start()

    def _tell_saved(self, states: Sequence[RankState]) -> None:
        saved = self._saved
        if saved is None or self._saved_told:
            return
        self._saved_told = True
        looked = [replace(s, wait=saved.get(self._pids.get(s.rank, -1))) for s in states]
        waiting = [
            state.rank
            for state in looked
            if state.wait is not None
            and state.wait.category is Category.COLLECTIVE
            and state.process != "T"
        ]
        told = f"stacks and state are saved in {self.folder / STOPPED}"
        if waiting:
            told = f"{named(waiting)} {are(waiting, 'waits', 'wait')} in a collective; {told}"
        self.notes.append(told)

    def _tell_continued(self, states: Sequence[RankState], now: float) -> None:
        for stop in self._stops.look(states, now):
            if stop.rank in self._stops_told:
                self._stops_told.remove(stop.rank)
                self.notes.append(f"{stop.told}, and is continued")

    def _tell_left(self, states: Sequence[RankState], verdict: JobVerdict, now: float) -> None:
        """Who of a command's ranks has ended well while others run: that may be as it should."""
        left = [
            state
            for state in states
            if not state.says_end
            and state.exit_code == 0
            and state.ended_t is not None
            and now - state.ended_t > PEER_GRACE_S
            and state.rank not in self._left_told
        ]
        running = [state.rank for state in states if not state.ended]
        if not left or not running:
            return
        self._left_told.update(state.rank for state in left)
        for state in left:
            if not verdict.failed or state.rank not in verdict.culprits:
                told = f"rank {state.rank} exited with code 0 {where(state)}".rstrip()
                still = f"{named(running)} {are(running, 'is', 'are')} still running"
                self.notes.append(f"{told}; {still}")

    def _spent(self, now: float) -> None:
        verdict = self._verdict
        if self._cause is None and verdict is not None and verdict.code in ENDURED:
            self._confirmed(self._because(verdict), now)
        else:
            super()._spent(now)

    @property
    def ranks(self) -> Mapping[int, int]:
        return {pid: rank for rank, pid in self._pids.items()}

    def _suspects(self) -> Sequence[int]:
        """The ranks that are alive, and of many those first that are like no other."""
        told = self._verdict.ranks if self._verdict else ()
        likes = Counter((one.state, one.last_step, one.last_phase) for one in told)
        first = sorted(
            (
                one
                for one in told
                if one.rank in self._pids
                and one.rank not in self._ended
                and self._afar(one.rank) is None
            ),
            key=lambda one: (not one.culprit, likes[one.state, one.last_step, one.last_phase]),
        )
        return [self._pids[one.rank] for one in first[:LOOKED_AT]]

    def _await_evidence(self) -> None:
        assert self._collecting is not None
        done = not self._collecting.is_alive() and self._why is None
        found = self._cause if done and self._collected.waits else None
        if self._verdict is not None and found is not None:
            # Where a rank waits may tell more than where the others are.
            now = self._detected_at or 0.0
            self._verdict = verdict = judge(self._states(now), now, hung=True)
            told = self._because(verdict)
            self._cause = msgspec.structs.replace(
                told, code=found.code, evidence=self._blamed(verdict) | told.evidence
            )
        super()._await_evidence()

    def _blamed(self, verdict: JobVerdict) -> dict[str, Any]:
        """What the stacks say of the rank that is to blame, or else of the first that has any."""
        ranks = self.ranks
        first = [self._pids[rank] for rank in verdict.culprits if rank in self._pids]
        each = self._collected.each
        pid = next((pid for pid in (*first, *each) if "wait_site" in each.get(pid, ())), None)
        if pid is None or pid not in ranks:
            return {}
        return each[pid] | {"wait_site": f"rank {ranks[pid]} {each[pid]['wait_site']}"}

    @property
    def _lost(self) -> bool:
        """Whether what is found is no hang that could pass: something is lost for good."""
        verdict = self._verdict
        return verdict is not None and (verdict.code in LOST or bool(verdict.gone))

    def _went_on(self) -> bool:
        """The survivors of a job that has lost a rank end, in whatever way: that is no hang."""
        return self._lost or super()._went_on()

    def _resolved(self, since: float, now: float) -> None:
        """What was lost for good is not over because the survivors end while they are looked at."""
        if self._lost:
            self._cause = self._detected_at = None
        else:
            super()._resolved(since, now)

    def _because(self, verdict: JobVerdict) -> Cause:
        return Cause(
            code=ENDURED.get(verdict.code or "", "waiting"),
            summary=verdict.summary,
            evidence={"culprits": list(verdict.culprits), "reason": verdict.code},
        )

    @property
    def _killed(self) -> str | None:
        """The signal, not one of ours, that has ended what starts the ranks."""
        return self._process.signal if self._why is None else None

    def _finish(self) -> ScenarioResult:
        killed = self._killed
        # Of what we have ended ourselves, or was hung before it was killed, how it was before.
        if self._why is None and (self._cause is None or (killed is not None and self._lost)):
            now = time.monotonic()
            states = self._states(now)
            self._verdict = judge(states, now, launcher=killed) if states else None
            self._stops.look(states, now)
        result = super()._finish()
        verdict = self._verdict
        if verdict is None:
            return result
        result = msgspec.structs.replace(
            result,
            ranks=verdict.ranks,
            findings=(
                *result.findings,
                *verdict.findings,
                *self._stops.findings(),
                *self._more(verdict),
            ),
        )
        if verdict.failed and result.outcome in (Outcome.COMPLETED, Outcome.CRASHED):
            # The launcher returns 0, and what the first rank says may be a consequence only.
            return msgspec.structs.replace(result, outcome=Outcome.CRASHED, reason=verdict.summary)
        return result

    def _more(self, verdict: JobVerdict) -> Sequence[Finding]:
        """What only this kind of job finds."""
        return ()


def below(processes: Sequence[Process], roots: Iterable[int]) -> list[Process]:
    """Of `processes`, parents before children, those that are `roots` or descend from one."""
    kept = set(roots)
    for process in processes:
        if process.ppid in kept:
            kept.add(process.pid)
    return [process for process in processes if process.pid in kept]
