"""One worker from its start to its end: launched, looked at, judged, reaped, classified."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping

import msgspec

from harness.analysis import classify
from harness.beats import record
from harness.detect.watchdog import Judgment, State
from harness.model import (
    Cause,
    Ending,
    ErrorBeat,
    MlxBeat,
    OnHang,
    Position,
    ScenarioInfo,
    ScenarioResult,
    Snapshot,
    StepBeat,
    WorkerSpec,
)
from harness.observe import processes as observe
from harness.supervise import not_ended
from harness.supervise.collector import Collector
from harness.supervise.doubt import Doubts
from harness.supervise.examiner import Examiner
from harness.supervise.handling import Handling
from harness.supervise.hangs import Hangs
from harness.supervise.run_state import RunState
from harness.supervise.samples import Samples
from harness.supervise.stage import NEXT, EndReason, Stage
from harness.supervise.step_source import StepSource, WorkerSteps

GRACE_S = 2.0
"""Between TERM and KILL."""


class Job:
    """One run of one scenario. `tick` is called often, never blocks for long, and never raises."""

    def __init__(
        self,
        info: ScenarioInfo,
        spec: WorkerSpec,
        handling: Handling,
        steps: Callable[[RunState], StepSource] = WorkerSteps,
    ) -> None:
        """`steps` makes the source of the steps: of a worker, of ranks, or of a command."""
        self.info = info
        self.spec = spec
        self.result: ScenarioResult | None = None
        self.error: ErrorBeat | None = None
        self.mlx: MlxBeat | None = None
        """These two are known once there is a result."""
        self._run = run = RunState(info, spec)
        self.folder = run.folder
        self.notes = run.notes
        self._handling = handling
        self._stage = Stage.STARTING
        run.log.stage("stage starting")
        self._source = steps(run)
        self._doubts = Doubts(run, handling)
        self._hangs = Hangs(run, self._source.position)
        self._collector = Collector(run, handling.once)
        self._examiner = Examiner(run, self._source, self._doubts)
        self._memory = handling.memory_guard(run)
        self._oom_kills = observe.oom_kills()
        self._ended_by = self._doing = ""
        self._next_look = 0.0
        self._ticked = run.clock.start
        self._samples = Samples(self.folder / "samples.jsonl")
        self._process = run.process = self._source.launch(handling.cold)

    def _enter(self, stage: Stage) -> None:
        """Change the stage. All transitions go through here."""
        if stage is self._stage:
            return
        assert stage in NEXT[self._stage], f"from {self._stage.value} to {stage.value}"
        self._run.log.stage("stage %s, was %s", stage.value, self._stage.value)
        self._stage = stage

    @property
    def started(self) -> float:
        return self._run.clock.start

    @property
    def judgment(self) -> Judgment:
        return self._run.judgment

    @property
    def snapshot(self) -> Snapshot | None:
        return self._run.snapshot

    @property
    def last(self) -> StepBeat | None:
        return self._run.last_step

    @property
    def ranks(self) -> Mapping[int, int]:
        """The rank of a process, by process, of a job that has several."""
        return self._source.tracker.ranks if self._source.tracker else {}

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions that a command was seen to run, by distribution, and `python`."""
        return self._source.versions

    @property
    def rss_peak(self) -> int:
        return self._samples.rss_peak

    @property
    def position(self) -> Position | None:
        return self.snapshot.position if self.snapshot else None

    @property
    def channel(self) -> socket.socket:
        """Becomes readable when the guard has news: wait on it instead of polling."""
        return self._process.channel

    def interrupt(self, grace: float, by: str = "", doing: str = "") -> None:
        """End it now; what it has done so far is classified as unfinished.

        `by` says who ends it, if not its user, and `doing` what its stacks have shown.
        """
        self._ended_by, self._doing = by, doing
        if self._doubts.open is not None and self._stage is Stage.SUSPECTED:
            # What was doubted did not go on until its user lost patience.
            self._run.cause, self._run.detected_at = self._doubts.open.cause, time.monotonic()
            self._doubts.confirm()
            self._end(EndReason.HUNG, grace)
            return
        self._end(EndReason.INTERRUPT, grace)

    def signal(self, number: int, alone: bool = False) -> None:
        """Hand a signal on to a command and what it has started with it, or to the former alone."""
        pid = self._process.pid
        if pid is not None and self._process.status is None:
            self._run.stop_typed |= number == signal.SIGINT
            with contextlib.suppress(OSError):
                (os.kill if alone else os.killpg)(pid, number)

    def stop(self) -> None:
        """Stop a command and what it has started with it, until they are continued."""
        if self._process.status is None:
            self._process.stop()

    def note_stop_typed(self) -> None:
        """Note that the user has typed Ctrl-C, which the terminal hands to the command."""
        self._run.stop_typed = True

    @property
    def ended_by_user(self) -> bool:
        return self._run.ended_by_user

    def tick(self) -> ScenarioResult | None:
        """Look, judge and act; the result once everything that was started is gone."""
        self._process.listen()
        if self._process.quiet:
            self.result = self._finish()
            self._enter(Stage.FINISHED)
            return self.result
        now = time.monotonic()
        if now - self._ticked > self._run.policy.gap_s:
            # We were stopped or asleep ourselves.
            self._run.clock.exclude(now - self._ticked)
        self._ticked = now
        self._source.read()
        if self._process.pid is not None and now >= self._next_look:
            began = time.thread_time()
            try:
                self._look(now, self._process.pid)
            except Exception as error:
                self._run.look_failed(error)
            spent = time.thread_time() - began
            self._next_look = now + self._examiner.pause(spent)
        if self._collector.waiting:
            self._await_evidence()
        elif self._stage is not Stage.ENDING and self._over_budget(now):
            self._spent(now)
        return None

    def _over_budget(self, now: float) -> bool:
        return self._run.clock.elapsed(now) > self._handling.budget

    def _spent(self, now: float) -> None:
        """The budget is over: unfinished, unless it was stopped and so could not go on."""
        run, tracker = self._run, self._source.tracker
        if tracker is not None and (cause := tracker.endured()) is not None:
            self._confirmed(cause, now)
        elif run.cause is not None:
            self._end(EndReason.HUNG, GRACE_S)
        elif run.judgment.state is State.STOPPED:
            summary = f"{run.judgment.reason} {run.place()}, and not continued"
            doubted = self._doubts.of("stopped")
            self._confirmed(doubted or Cause(code="stopped", summary=summary), now)
        elif self._process.status is not None:
            return  # it has just ended by itself
        elif self._doubts.open is not None and not run.missed:
            self._confirmed(self._doubts.open.cause, now)
        elif run.snapshot is None:
            self._end(EndReason.BUDGET, GRACE_S)
        else:
            self._collect(run.snapshot)  # where it is by now is all that can be told of it

    def _look(self, now: float, pid: int) -> None:
        run, guard = self._run, self._process.guard_pid
        if self._stage is Stage.STARTING:
            self._enter(Stage.RUNNING)
        self._source.look(now)
        processes = observe.processes(pid, also=[guard])
        run.snapshot = Snapshot(
            t=now,
            rank=self.spec.rank,
            position=self._source.position(),
            steps=run.steps,
            processes=tuple(process for process in processes if process.pid != guard),
            machine=observe.machine(whole=self._samples.due(now)),
        )
        run.autopsy.look(run.snapshot)
        self._samples.take(run.snapshot, now - self.started)
        if self._process.status is not None:
            return
        run.looked(pid)
        if self._stage is Stage.CONFIRMED:
            self._await_progress(run.snapshot)
        elif self._stage in (Stage.RUNNING, Stage.SUSPECTED):
            self._examine(run.snapshot, pid)
        if self._memory is not None and self._memory.look(run.snapshot):
            self._full(run.snapshot, late=self._memory.late)

    def _full(self, snapshot: Snapshot, late: bool) -> None:
        """Its memory has reached the limit: it ends, with the evidence that there is time for."""
        if self._stage in (Stage.RUNNING, Stage.SUSPECTED):
            self._collect(snapshot)
        elif late or self._stage is Stage.CONFIRMED:
            self._end(EndReason.MEMORY if self._run.cause is None else EndReason.HUNG, GRACE_S)

    def _examine(self, snapshot: Snapshot, pid: int) -> None:
        """Judge a run that is not called hung."""
        cause = self._examiner.look(snapshot, pid)
        self._enter(Stage.RUNNING if self._doubts.open is None else Stage.SUSPECTED)
        if cause is not None:
            self._confirmed(cause, snapshot.t)

    def _await_progress(self, snapshot: Snapshot) -> None:
        """A hang that is waited out is over when a beat comes."""
        since = self._run.judgment.last_progress
        judgment = self._run.watchdog.look(self._source.watched(snapshot))
        if judgment.last_progress > since:
            self._run.judgment = judgment
            self._resolved(since, snapshot.t)

    @property
    def _lost(self) -> bool:
        """True if a rank was lost for good: its survivors end, in whatever way, and were not
        hung."""
        tracker = self._source.tracker
        return tracker is not None and tracker.lost

    def _resolved(self, since: float, now: float) -> None:
        if self._lost:
            self._hangs.drop()
        else:
            self._hangs.resolve(since, now)
        self._enter(Stage.RUNNING)

    def _confirmed(self, cause: Cause, now: float) -> None:
        """Keep the verdict, and the evidence before anything is signaled."""
        run = self._run
        self._enter(Stage.CONFIRMED)
        how = "proven" if cause.proven else "not proven"
        run.log.stage("called a hang: %s (%s): %s", cause.code, how, cause.summary)
        self._hangs.begin(cause, now)
        self._doubts.confirm()
        self._handling.notify("hung", self.info.name, cause)
        assert run.snapshot is not None
        self._collect(run.snapshot)

    def _collect(self, snapshot: Snapshot) -> None:
        tracker = self._source.tracker
        pids = tracker.suspects() if tracker is not None else ()
        self._collector.start(snapshot, len(self._hangs.transients), pids, self.ranks)
        self._enter(Stage.COLLECTING)

    def _await_evidence(self) -> None:
        run = self._run
        if self._collector.busy:
            return
        if run.end_reason is None and self._source.tracker is not None:
            self._source.tracker.blame()
        self._collector.take()
        if self._stage is Stage.COLLECTING:
            self._enter(Stage.RUNNING if run.cause is None else Stage.CONFIRMED)
        if self._process.status is not None:
            return  # it has ended by itself in the meantime
        if run.cause is None:
            if run.end_reason is None:
                full = self._memory is not None and self._memory.over
                self._end(EndReason.MEMORY if full else EndReason.BUDGET, GRACE_S)
            return
        if run.end_reason is None and self._hangs.moved():
            self._resolved(run.judgment.last_progress, time.monotonic())
            return  # it went on while it was looked at
        ended = run.end_reason is not None
        over = self._over_budget(time.monotonic())
        if self._handling.on_hang is OnHang.KEEP and not ended:
            self._keep()
        elif ended or over or self._handling.on_hang is not OnHang.WAIT:
            self._end(EndReason.HUNG, GRACE_S)

    def _keep(self) -> None:
        run = self._run
        assert run.cause is not None
        run.end_reason = EndReason.HUNG
        self._enter(Stage.ENDING)
        self._process.keep()
        run.cause = msgspec.structs.replace(
            run.cause,
            summary=f"{run.cause.summary}; it is kept, as process {self._process.pid}",
            evidence=run.cause.evidence | {"kept_pid": self._process.pid},
        )

    def _end(self, reason: EndReason, grace: float) -> None:
        self._run.end_reason = self._run.end_reason or reason
        self._enter(Stage.ENDING)
        self._run.no_tools.set()
        self._process.reap(grace)

    def _finish(self) -> ScenarioResult:
        run, source, process = self._run, self._source, self._process
        source.before_end()
        ended = process.status is not None and run.end_reason is None
        process.close(keep_kernels=ended and process.exit_code == 0)
        if source.tracker is not None:
            # Only now all is heard that a launcher says of the ends of its ranks.
            source.tracker.judge_end(time.monotonic())
        self._samples.close()
        self._collector.end()
        self._doubts.ended(time.monotonic(), by_itself=ended and process.signal is None)
        source.read()
        if run.cause is not None and run.end_reason is None:
            # It ended while it was looked at or waited for, and not by us.
            if self._lost or self._hangs.went_on():
                self._resolved(run.judgment.last_progress, time.monotonic())
            else:
                summary = f"{run.cause.summary}; {process.how_it_ended}"
                run.cause = msgspec.structs.replace(run.cause, summary=summary)
        source.settle()
        source.read()
        ending = source.completed(self._ending())
        left = not_ended.find(process.not_ended)
        ending = msgspec.structs.replace(ending, findings=(*ending.findings, *left))
        written = record.load(self.folder)
        self.error, self.mlx = written.error, written.mlx
        settings = self.spec.settings
        result = classify.classify(written, ending, self.info, settings, self.spec.repeat)
        if source.tracker is not None:
            result = source.tracker.completed(result)
        return source.finished(result)

    def _ending(self) -> Ending:
        """What was seen of the end from outside."""
        run, process, position = self._run, self._process, self._source.position()
        doing = self._doing or self._collector.place
        return Ending(
            wall_s=time.monotonic() - self.started,
            exit_code=process.exit_code,
            signal=process.signal,
            cause=run.cause,
            stalled_at_s=self._stalled_at(),
            detected_at_s=run.detected_at and run.detected_at - self.started,
            transients=tuple(self._hangs.transients),
            doubts=tuple(self._doubts.over),
            address_space=process.limits.address_space,
            facts=run.autopsy.of(process),
            usable_memory=self._samples.usable(),
            oom_kills=observe.oom_kills() - self._oom_kills,
            memory=self._memory.used(run.end_reason is EndReason.MEMORY) if self._memory else None,
            over_budget=run.end_reason is EndReason.BUDGET,
            interrupted=run.end_reason is EndReason.INTERRUPT,
            ended_by=self._ended_by,
            doing=f"it {doing}" if doing else self._examiner.summary(),
            position=position,
            unread=self._samples.unread(),
            rss_peak=max(self.rss_peak, process.rss_peak or 0) or None,
        )

    def _stalled_at(self) -> float | None:
        if self._run.cause is None:
            return None
        return max(0.0, self._run.judgment.last_progress - self.started)
