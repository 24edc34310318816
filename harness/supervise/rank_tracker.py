"""The ranks of a job: their states, the verdict on them, and what is kept of a stopped one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import msgspec

from harness.detect.policy import STANDARD
from harness.detect.ranks import JobVerdict, RankState, judge
from harness.detect.ranks.phrases import are, named, where
from harness.detect.ranks.stopped import Stops
from harness.detect.watchdog import State
from harness.model import (
    Cause,
    Finding,
    Outcome,
    Process,
    ScenarioResult,
)
from harness.stacks.wait_rules import Category
from harness.stacks.wait_site import WaitSite
from harness.supervise import evidence
from harness.supervise.inspection import Inspected
from harness.supervise.remote.frame import Seen
from harness.supervise.run_state import RunState

CPU_S = 1.0
"""A rank's use of the CPU is told of so long a while."""
STOPPED = "stopped"
"""The folder, in the run's, for the state of a job in which a rank was found to be stopped."""
LOOKED_AT = 8
"""The number of ranks whose stacks are evidence."""
LOST = ("rank_died", "rank_left_early", "collective_mismatch")
ENDURED = {"rank_stopped": "stopped", "rank_cut_off": "waiting"}
"""Findings that may pass by themselves, and the cause's code if they have not when the budget is
over."""


@dataclass(frozen=True)
class Used:
    """A rank's CPU time at some moment, and the cores that it had used lately."""

    t: float
    cpu_s: float
    cores: float | None


class RankSource(Protocol):
    """Tells what the ranks of a job are like."""

    def states(self, now: float) -> list[RankState]:
        """The states of all ranks; empty where there are none."""
        ...

    def remote(self, rank: int) -> Seen | None:
        """The report of a rank's host about it; None of one on this machine."""
        ...

    def inspect_remote(self) -> None:
        """Ask the hosts of ranks for the stacks."""
        ...

    def grace_is_over(self, verdict: JobVerdict, failed_at: float, now: float) -> bool:
        """True if a job that failed at `failed_at` has had its time to end by itself."""
        ...

    def findings(self, verdict: JobVerdict) -> Sequence[Finding]:
        """The findings that only this kind of job has."""
        ...


class RankLook(NamedTuple):
    """The decision of the ranks' states at one look."""

    decided: bool
    """False where they say nothing, so that an overdue job is inspected."""
    cause: Cause | None = None


class RankTracker:
    """Follows the ranks of a job: their states, their verdict, and the stops."""

    def __init__(self, run: RunState, source: RankSource, least: int = 1) -> None:
        """A job has ranks where at least `least` are known."""
        self._run = run
        self._source = source
        self._least = least
        self.pids: dict[int, int] = {}
        """The process of each rank, by rank."""
        self.ended: dict[int, float] = {}
        """The time at which a rank was first missed, by rank."""
        self.used: dict[int, Used] = {}
        self.in_state: dict[int, tuple[str, float]] = {}
        self.verdict: JobVerdict | None = None
        self._states: Sequence[RankState] = ()
        """The states that the verdict is about."""
        self._failed_at: float | None = None
        self._stops = Stops()
        self._reported_stops: set[int] = set()
        """Ranks whose stop was reported and is not over."""
        self._saving: threading.Thread | None = None
        self._saved: dict[int, WaitSite] | None = None
        """The waits of the ranks of a stopped job, by process; None: not known yet."""
        self._reported_saved = False
        self._reported_left: set[int] = set()

    def at_rest(self, launcher: Process, ranks: Sequence[Process]) -> Process:
        """The launcher of the ranks, as the watchdog is to see it. It spins while it waits for
        them, which is no progress. While one of them is stopped, time does not count for the
        job."""
        held = {self.pids[rank] for rank, (state, _) in self.in_state.items() if state == "T"}
        mine = set(self.pids.values())
        stopped = any(
            rank.pid in mine and (rank.state == "T" or (rank.state == "t" and rank.pid in held))
            for rank in ranks
        )
        return msgspec.structs.replace(
            launcher,
            state="T" if stopped else "S",
            cpu_s=0.0,
            io_bytes=None,
            major_faults=None,
            threads=(),
        )

    def follow(self, rank: int, processes: Sequence[Process], now: float) -> None:
        """Take in the processes of a rank: its own is among `processes`, and what it started."""
        tree = below(processes, [self.pids[rank]])
        process, used = tree[0], self.used.get(rank)
        if used is None or now - used.t >= CPU_S:
            cores = (process.cpu_s - used.cpu_s) / (now - used.t) if used else None
            self.used[rank] = Used(now, process.cpu_s, cores)
        saving = self._saving is not None and not self._reported_saved
        if self._run.cause is not None or saving:
            return  # while its stacks are taken it stands still, or starts up for a moment
        if process.state not in ("t", self.in_state.get(rank, ("", 0.0))[0]):
            self.in_state[rank] = (process.state, now)

    def look(self, now: float) -> RankLook | None:
        """Judge the ranks; None where there are none. Who died or was stopped needs no patience."""
        states = self._states = self._source.states(now)
        if not states:
            self.verdict = None
            return None
        self.verdict = verdict = judge(states, now)
        self._run.log.ranks(verdict.code, verdict.summary)
        self._report_continued(states, now)
        self._report_left(states, verdict, now)
        self._report_saved(states)
        if verdict.code == "rank_stopped" and not verdict.gone:
            self._failed_at = None
            self._endure(verdict, now)
            return RankLook(decided=True)
        if verdict.failed:
            self._failed_at = self._failed_at or now
            late = now - self._failed_at > STANDARD.peers_end_s
            if late or not self._may_have_ended_well(states, verdict):
                self._suspect(State.SUSPECT, verdict)
            over = self._source.grace_is_over(verdict, self._failed_at, now)
            return RankLook(decided=True, cause=self._because(verdict) if over else None)
        self._failed_at = None
        return RankLook(decided=False)

    def local(self) -> dict[int, int]:
        """The process of each rank on this machine that has not ended, by rank."""
        return {
            rank: pid
            for rank, pid in self.pids.items()
            if self._source.remote(rank) is None and rank not in self.ended
        }

    def goes_on(self, inspected: Inspected) -> bool:
        """True if a job that stands still goes on by itself, as seen on all its hosts."""
        self._source.inspect_remote()
        hosts = [host for rank in self.pids if (host := self._source.remote(rank)) is not None]
        return (bool(self.local()) and inspected.alive) or any(not host.stuck for host in hosts)

    def lost_cause(self, inspected: Inspected, now: float) -> Cause | None:
        """The cause of a job that stands still, where the collectives say which rank is to blame:
        that needs no patience.

        A command may have issued others on purpose, and a rank may end while another one still
        works alone. It is lost for that only if all its ranks wait for one another now.
        """
        self.verdict = verdict = judge(self._states, now, hung=True)
        if verdict.code not in LOST:
            return None
        foreign = any(not state.says_end for state in self._states)
        harmless = foreign and verdict.code in ("collective_mismatch", "rank_left_early")
        if harmless and not inspected.tree.wait_for_peers(self.local().values()):
            return None
        return self._because(verdict)

    def _may_have_ended_well(self, states: Sequence[RankState], verdict: JobVerdict) -> bool:
        """True if the last output of a command's rank may still be on its way."""
        early = verdict.code == "rank_left_early"
        return early and any(s.rank in verdict.culprits and not s.says_end for s in states)

    def _suspect(self, state: State, verdict: JobVerdict) -> None:
        # One that dies because another one has is no news; one that dies beside a stopped one is.
        about = f"{verdict.code} {verdict.culprits} {bool(verdict.gone)} {len(self._stops.over)}"
        self._run.judgment = msgspec.structs.replace(
            self._run.judgment, state=state, reason=verdict.summary, about=about
        )

    def _endure(self, verdict: JobVerdict, now: float) -> None:
        """A rank is stopped, and may be continued: told once nothing moves, and not ended."""
        run = self._run
        if now - run.judgment.last_progress <= STANDARD.rank_stopped_s:
            # Nobody has stopped the job itself.
            run.judgment = msgspec.structs.replace(run.judgment, state=State.ALIVE, reason="")
            return
        self._suspect(State.STOPPED, verdict)
        self._reported_stops.update(verdict.culprits)
        if self._saving is None:
            self._save()

    def _save(self) -> None:
        """Save the state of a stopped job while it is stopped: nobody can look once it is
        continued."""
        run, snapshot, last = self._run, self._run.snapshot, self._run.last
        assert snapshot is not None
        home, pids, ranks = run.folder / STOPPED, self.suspects(), self.ranks

        def save() -> None:
            taken = evidence.collect(home, snapshot, last, None, 0, pids, run.no_tools, ranks)
            self._saved = taken.waits

        home.mkdir(exist_ok=True)
        # No signal is sent, and a process that is stopped stays so while its stacks are read.
        self._saving = threading.Thread(target=save, name="stopped", daemon=True)
        self._saving.start()

    def _report_saved(self, states: Sequence[RankState]) -> None:
        saved = self._saved
        if saved is None or self._reported_saved:
            return
        self._reported_saved = True
        looked = [replace(s, wait=saved.get(self.pids.get(s.rank, -1))) for s in states]
        waiting = [
            state.rank
            for state in looked
            if state.wait is not None
            and state.wait.category is Category.COLLECTIVE
            and state.process != "T"
        ]
        note = f"stacks and state are saved in {self._run.folder / STOPPED}"
        if waiting:
            note = f"{named(waiting)} {are(waiting, 'waits', 'wait')} in a collective; {note}"
        self._run.notes.append(note)

    def _report_continued(self, states: Sequence[RankState], now: float) -> None:
        for stop in self._stops.look(states, now):
            if stop.rank in self._reported_stops:
                self._reported_stops.remove(stop.rank)
                self._run.notes.append(f"{stop.text}, and is continued")

    def _report_left(self, states: Sequence[RankState], verdict: JobVerdict, now: float) -> None:
        """Report the ranks of a command that have ended well while others run: that may be as it
        should."""
        left = [
            state
            for state in states
            if not state.says_end
            and state.exit_code == 0
            and state.ended_t is not None
            and now - state.ended_t > STANDARD.peers_end_s
            and state.rank not in self._reported_left
        ]
        running = [state.rank for state in states if not state.ended]
        if not left or not running:
            return
        self._reported_left.update(state.rank for state in left)
        for state in left:
            if not verdict.failed or state.rank not in verdict.culprits:
                exited = f"rank {state.rank} {state.well} {where(state)}".rstrip()
                still = f"{named(running)} {are(running, 'is', 'are')} still running"
                self._run.notes.append(f"{exited}; {still}")

    def endured(self) -> Cause | None:
        """The cause of what could have passed by itself, and has not when the budget is over."""
        verdict = self.verdict
        lasts = self._run.cause is None and verdict is not None and verdict.code in ENDURED
        return self._because(verdict) if lasts and verdict is not None else None

    @property
    def several(self) -> bool:
        """True once the job is known to have ranks."""
        return len(self.pids) >= self._least

    @property
    def ranks(self) -> Mapping[int, int]:
        """The rank of a process, by process."""
        return {pid: rank for rank, pid in self.pids.items()} if self.several else {}

    def suspects(self) -> Sequence[int]:
        """The ranks that are alive, and of many those first that are like no other."""
        results = self.verdict.ranks if self.verdict else ()
        likes = Counter((r.state, r.last_step, r.last_phase) for r in results)
        local = self.local()
        first = sorted(
            (result for result in results if result.rank in local),
            key=lambda r: (not r.culprit, likes[r.state, r.last_step, r.last_phase]),
        )
        return [self.pids[result.rank] for result in first[:LOOKED_AT]]

    def blame(self) -> None:
        """Judge a hung job again by its stacks: where a rank waits may tell more than where the
        others are."""
        run = self._run
        cause = run.cause if run.evidence.waits else None
        if self.verdict is None or cause is None:
            return
        now = run.detected_at or 0.0
        self.verdict = verdict = judge(self._source.states(now), now, hung=True)
        again = self._because(verdict)
        gpus = run.evidence.told.get("gpu")
        if gpus and not verdict.culprits:
            # Who computes and who waits looks alike to the ranks themselves.
            summary = f"{again.summary}; the GPUs then: {'; '.join(gpus)}"
            again = msgspec.structs.replace(again, summary=summary)
        run.cause = msgspec.structs.replace(
            again,
            code=cause.code,
            proven=cause.proven,
            evidence=self._blamed(verdict) | again.evidence,
        )

    def _blamed(self, verdict: JobVerdict) -> dict[str, Any]:
        """The evidence from the stacks of the rank to blame, or else of the first that has any."""
        ranks = self.ranks
        first = [self.pids[rank] for rank in verdict.culprits if rank in self.pids]
        each = self._run.evidence.each
        pid = next((pid for pid in (*first, *each) if "wait_site" in each.get(pid, ())), None)
        if pid is None or pid not in ranks:
            return {}
        return each[pid] | {"wait_site": f"rank {ranks[pid]} {each[pid]['wait_site']}"}

    @property
    def lost(self) -> bool:
        """True if this is no hang that could pass: something is lost for good."""
        verdict = self.verdict
        return verdict is not None and (verdict.code in LOST or bool(verdict.gone))

    def _because(self, verdict: JobVerdict) -> Cause:
        return Cause(
            code=ENDURED.get(verdict.code or "", "waiting"),
            summary=verdict.summary,
            evidence={"culprits": list(verdict.culprits), "reason": verdict.code},
        )

    def judge_end(self, now: float) -> None:
        """Judge the ranks for the last time, when all has ended."""
        run, killed = self._run, self._run.killed_by
        # Of what we have ended ourselves, or was hung before it was killed, how it was before.
        if run.end_reason is None and (run.cause is None or (killed is not None and self.lost)):
            states = self._source.states(now)
            self.verdict = judge(states, now, launcher=killed) if states else None
            self._stops.look(states, now)

    def completed(self, result: ScenarioResult) -> ScenarioResult:
        """`result` with the ranks and what is said of them."""
        verdict = self.verdict
        if verdict is None:
            return result
        result = msgspec.structs.replace(
            result,
            ranks=verdict.ranks,
            findings=(
                *result.findings,
                *verdict.findings,
                *self._stops.findings(),
                *self._source.findings(verdict),
            ),
        )
        if verdict.failed and result.outcome in (Outcome.COMPLETED, Outcome.CRASHED):
            # The launcher returns 0, and what the first rank says may be a consequence only.
            return msgspec.structs.replace(result, outcome=Outcome.CRASHED, reason=verdict.summary)
        return result


def below(processes: Sequence[Process], roots: Iterable[int]) -> list[Process]:
    """The part of `processes`, parents before children, that is in `roots` or descends from one."""
    members = set(roots)
    for process in processes:
        if process.ppid in members:
            members.add(process.pid)
    return [process for process in processes if process.pid in members]
