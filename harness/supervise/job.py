"""One worker from its start to its end: launched, looked at, judged, reaped, classified."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

import msgspec

from harness.analysis import classify
from harness.beats import record
from harness.beats.file import BeatReader, read_position
from harness.detect.observation import Observation
from harness.detect.policy import Policy
from harness.detect.tree import judge
from harness.detect.watchdog import Judgement, State, Watchdog, refine
from harness.model import (
    BuiltBeat,
    Cause,
    Doubt,
    Ending,
    ErrorBeat,
    MlxBeat,
    OnHang,
    Position,
    ScenarioInfo,
    ScenarioResult,
    Snapshot,
    StartBeat,
    StepBeat,
    Transient,
    WorkerSpec,
)
from harness.model.beats import BETWEEN
from harness.observe import processes as observe
from harness.supervise import evidence, launch, not_ended
from harness.supervise.debug import RunLog
from harness.supervise.doubt import Standing, deciding, is_dead, proven, suspected
from harness.supervise.gather import Gatherer
from harness.supervise.handling import Handling
from harness.supervise.inspection import Inspected, Inspector, Prover
from harness.supervise.samples import Samples
from harness.text import phrases
from harness.text.units import duration

LOOK_S = 0.25
"""Between two looks at a worker."""
GRACE_S = 2.0
"""Between TERM and KILL."""
TOOLS_S = 5.0
"""So long, at most, tools that are to end are waited for, which takes a moment."""


class Why(str, Enum):
    """Why a job was ended by us."""

    HUNG = "hung"
    BUDGET = "budget"
    INTERRUPT = "interrupt"


class Job:
    """One run of one scenario. `tick` is called often, never blocks for long, and never raises."""

    def __init__(
        self,
        info: ScenarioInfo,
        spec: WorkerSpec,
        handling: Handling,
    ) -> None:
        self.info = info
        self.spec = spec
        self.folder = Path(spec.folder)
        self._debug = RunLog(f"{info.name}/{spec.repeat}")
        self.judgement = Judgement(state=State.ALIVE)
        self.notes: list[str] = []
        """What else is to be told as it happens; who has told it takes it away."""
        self.snapshot: Snapshot | None = None
        self.last: StepBeat | None = None
        self.result: ScenarioResult | None = None
        self.error: ErrorBeat | None = None
        self.mlx: MlxBeat | None = None
        """These two are known once there is a result."""
        self._handling = handling
        self._why: Why | None = None
        self._cause: Cause | None = None
        self._detected_at: float | None = None
        self._closer: tuple[Prover, Inspector] | None = None
        self._dead: Observation | None = None
        """What proves that it is dead, from before its stacks were taken."""
        self._standing: Standing | None = None
        """The doubt that is said and not taken back."""
        self._doubts: list[Doubt] = []
        self._collecting: threading.Thread | None = None
        self._collected = evidence.Evidence()
        self._no_tools = threading.Event()
        """Set once the stacks are of no use any more: a tool that runs is ended."""
        self._transients: list[Transient] = []
        self._stalled_in: tuple[int | None, str | None] = (None, None)
        self._failed = False
        """Whether it has told of an exception."""
        self._stalled_with = (0, False)
        self._oom_kills = observe.oom_kills()
        self._ended_by = self._doing = ""
        self._trainer: tuple[int, int] | None = None
        self._steps = 0
        self._next_look = 0.0
        self._watchdog = Watchdog(self.policy)
        self._reader = BeatReader(self.folder)
        self._graph: BuiltBeat | None = None
        self._samples = Samples(self.folder / "samples.jsonl")
        self.started = self._ticked = time.monotonic()
        self._away = 0.0
        self._process = self._launch(handling.cold)

    policy = Policy()
    """What counts as a hang."""

    def _launch(self, cold: bool) -> launch.Launched:
        return launch.worker(self.spec, cold)

    @property
    def channel(self) -> object:
        """Becomes readable when the guard has news: wait on it instead of polling."""
        return self._process.channel

    def interrupt(self, grace: float, by: str = "", doing: str = "") -> None:
        """End it now; what it has done so far is classified as unfinished.

        `by` says who ends it, if not its user, and `doing` what its stacks have shown.
        """
        self._ended_by, self._doing = by, doing
        if self._standing is not None and self._why is None and self._cause is None:
            # What was doubted did not go on until its user lost patience.
            self._cause, self._detected_at = self._standing.cause, time.monotonic()
            self._doubts.append(self._standing.record(self.started, None))
            self._standing = None
            self._end(Why.HUNG, grace)
            return
        self._end(Why.INTERRUPT, grace)

    def tick(self) -> ScenarioResult | None:
        """Look, judge and act; the result once everything that was started is gone."""
        self._process.listen()
        if self._process.quiet:
            self.result = self._finish()
            return self.result
        now = time.monotonic()
        if now - self._ticked > self.policy.gap_s:
            self._away += now - self._ticked
        self._ticked = now
        self._read_beats()
        if self._process.pid is not None and now >= self._next_look:
            self._next_look = now + LOOK_S
            self._look(now, self._process.pid)
        if self._collecting is not None:
            self._await_evidence()
        elif self._why is None and self._over_budget(now):
            self._spent(now)
        return None

    def _over_budget(self, now: float) -> bool:
        """Time in which we were stopped or asleep ourselves does not count."""
        return now - self.started - self._away > self._handling.budget

    def _spent(self, now: float) -> None:
        """The budget is over: unfinished, unless it was stopped and so could not go on."""
        if self._cause is not None:
            self._end(Why.HUNG, GRACE_S)
        elif self.judgement.state is State.STOPPED:
            summary = f"{self.judgement.reason} {self._place()}, and not continued"
            self._confirmed(Cause(code="stopped", summary=summary), now)
        elif self._process.status is not None:
            return  # it has just ended by itself
        elif self._standing is not None:
            self._confirmed(self._standing.cause, now)
        elif self.snapshot is None:
            self._end(Why.BUDGET, GRACE_S)
        else:
            self._collect(self.snapshot)  # where it is by now is all that can be told of it

    def _read_beats(self) -> None:
        for beat in self._reader.read():
            self._watchdog.learn(beat)
            if isinstance(beat, StepBeat):
                self.last = beat
                self._steps += 1
            elif isinstance(beat, ErrorBeat):
                self._failed = True
            elif isinstance(beat, StartBeat) and beat.tid is not None:
                self._trainer = (beat.pid, beat.tid)
            elif isinstance(beat, BuiltBeat) and beat.nodes is not None:
                self._graph = beat

    def _look(self, now: float, pid: int) -> None:
        guard = self._process.guard_pid
        processes = observe.processes(pid, also=[guard])
        self.snapshot = Snapshot(
            t=now,
            rank=self.spec.rank,
            position=self._position(),
            steps=self._steps,
            processes=tuple(process for process in processes if process.pid != guard),
            machine=observe.machine(whole=self._samples.due(now)),
        )
        self._samples.take(self.snapshot, now - self.started)
        if self._process.status is not None or self._why is not None:
            return
        if self._collecting is not None:
            return
        if self._cause is not None:
            self._await_progress(self.snapshot)
            return
        if self._closer is None:
            gatherer = Gatherer(pid, guard, ours=self.ours)
            looks = self.folder / "looks"
            self._closer = (
                Prover(gatherer, self._debug),
                Inspector(gatherer, looks, self.policy, self._no_tools, self._debug),
            )
        prover, inspector = self._closer
        judgement = self._watchdog.look(self._watched(self.snapshot))
        if inspector.busy and judgement.state is not State.ALIVE:
            return  # a tool may hold it at this moment
        self.judgement = judgement
        self._debug.judged(judgement, self.snapshot)
        cause = self._in_doubt(prover, inspector, now)
        if cause is not None:
            self._confirmed(cause, now)

    def _watched(self, snapshot: Snapshot) -> Snapshot:
        """What of it may count as progress."""
        return snapshot

    def _in_doubt(self, prover: Prover, inspector: Inspector, now: float) -> Cause | None:
        """Why it is hung: proven, or doubted for as long as its patience lasts."""
        dead = prover.look(self.judgement.still)
        if dead is not None:
            self._dead = dead
            return proven(judge(dead.root, dead), self._place())
        if self._went_on_since_doubt():
            self._take_back(now)
        if not self.judgement.overdue:
            return None
        inspected = inspector.look(now, self.judgement.last_progress, self._trains(), self.ranks)
        return None if inspected is None else self._weigh(inspected, now)

    def _weigh(self, inspected: Inspected, now: float) -> Cause | None:
        """The cause that an inspection gives, once the doubt has stood for its patience."""
        judged = deciding(inspected)
        if is_dead(inspected):
            return proven(judged, self._place())
        if inspected.alive or judged.chain is None:
            self._take_back(now)
            return None
        cause = suspected(inspected, judged, self.judgement)
        if self._standing is None:
            self._standing = Standing(since=now, cause=cause, fingerprint=judged.fingerprint or "")
            self._handling.notify("doubt", self.info.name, cause)
            self._debug.stage("possible hang, doubted: %s", cause.summary)
        else:
            self._standing = msgspec.structs.replace(self._standing, cause=cause)
        self.judgement = msgspec.structs.replace(
            self.judgement, state=State.SUSPECT, reason=cause.summary
        )
        longest = self._watchdog.longest(self.judgement.phase)
        known = self._standing.fingerprint in self._handling.known_hangs
        if not self._standing.over(now, self._handling.patience, longest, known):
            return None
        self._debug.stage("the patience is over after %s", duration(now - self._standing.since))
        self._handling.known_hangs.add(self._standing.fingerprint)
        return cause

    def _went_on_since_doubt(self) -> bool:
        """Whether a beat has come since the doubt was said."""
        standing = self._standing
        return standing is not None and self.judgement.last_progress > standing.since

    def _take_back(self, now: float) -> None:
        """It goes on, or what it waits for does: the doubt that stood is over."""
        if self._standing is None:
            return
        self._doubts.append(self._standing.record(self.started, now))
        lasted = duration(now - self._standing.since)
        self.notes.append(f"the doubt is taken back after {lasted}: it goes on")
        self._debug.stage("not a hang: the doubt is taken back after %s", lasted)
        self._handling.notify("taken_back", self.info.name, self._standing.cause)
        self._standing = None

    def _trains(self) -> tuple[int, int] | None:
        """Process and thread that report the steps, where that is known."""
        return self._trainer

    ours = True
    """Whether the process is a worker, whose handler of SIGUSR1 is ours."""

    def _await_progress(self, snapshot: Snapshot) -> None:
        """A hang that is waited out is over when a beat comes."""
        since = self.judgement.last_progress
        judged = self._watchdog.look(self._watched(snapshot))
        if judged.last_progress > since:
            self.judgement = judged
            self._resolved(since, snapshot.t)

    def _resolved(self, since: float, now: float) -> None:
        assert self._cause is not None
        step, phase = self._stalled_in
        self._transients.append(
            Transient(
                cause=self._cause,
                step=step,
                phase=phase,
                stalled_at_s=max(0.0, since - self.started),
                lasted_s=now - since,
            )
        )
        self._cause = self._detected_at = None

    def _place(self) -> str:
        position = self.position
        if position is None:
            return "in phase start"
        settings = self.spec.settings
        within = position.step >= 0 and (settings is None or position.step < settings.steps)
        if within and position.phase == BETWEEN:
            return phrases.place(position.step, position.phase)
        return f"in phase {position.phase}" + (f" of step {position.step}" if within else "")

    def _confirmed(self, cause: Cause, now: float) -> None:
        """Keep the verdict, and the evidence before anything is signalled."""
        self._cause = cause
        self._detected_at = now
        how = "proven" if cause.proven else "not proven"
        self._debug.stage("called a hang: %s (%s): %s", cause.code, how, cause.summary)
        if self._standing is not None:
            self._doubts.append(self._standing.record(self.started, None))
            self._standing = None
        self._handling.notify("hung", self.info.name, cause)
        position = self.position
        self._stalled_in = (position.step, position.phase) if position else (None, None)
        self._stalled_with = (self._steps, self._failed)
        assert self.snapshot is not None
        self._collect(self.snapshot)

    def _collect(self, snapshot: Snapshot) -> None:
        last = evidence.Last(self.last, self._graph)
        count, of, ranks = len(self._transients), self._suspects(), self.ranks

        def collect() -> None:
            handler = self.folder / launch.FAULTHANDLER
            self._collected = evidence.collect(
                self.folder, snapshot, last, handler, count, of, self._no_tools, ranks
            )

        # In a thread of its own: a tool may take seconds, and other workers are looked at too.
        self._collecting = threading.Thread(target=collect, name="evidence", daemon=True)
        self._collecting.start()

    @property
    def ranks(self) -> Mapping[int, int]:
        """By process its rank, of a job that has several."""
        return {}

    def _suspects(self) -> Sequence[int]:
        """The processes whose stacks are evidence; empty: those of the worker and its children."""
        return ()

    def _await_evidence(self) -> None:
        assert self._collecting is not None
        if self._collecting.is_alive():
            return
        self._take_evidence()
        if self._process.status is not None:
            return  # it has ended by itself in the meantime
        if self._cause is None:
            if self._why is None:
                self._end(Why.BUDGET, GRACE_S)
            return
        if self._why is None and self._moved():
            self._resolved(self.judgement.last_progress, time.monotonic())
            return  # it went on while it was looked at
        ended = self._why is not None
        over = self._over_budget(time.monotonic())
        if self._handling.on_hang is OnHang.KEEP and not ended:
            self._keep()
        elif ended or over or self._handling.on_hang is not OnHang.WAIT:
            self._end(Why.HUNG, GRACE_S)

    def _take_evidence(self) -> None:
        """The thread that collects it has ended: what the stacks say becomes part of the cause,
        or where there is none, of the reason."""
        self._collecting = None
        if self._cause is None:
            self._doing = self._doing or str(self._collected.told.get("wait_site", ""))
            return
        if self._dead is not None and self._collected.stacks:
            # Now the stacks say where each thread waits.
            dead = msgspec.structs.replace(self._dead, stacks=self._collected.stacks)
            self._cause = proven(judge(dead.root, dead), self._place())
        told = {**self._collected.told, **self._cause.evidence}
        self._cause = refine(
            msgspec.structs.replace(self._cause, evidence=told), told.get("wait_category")
        )

    def _moved(self) -> bool:
        """Whether there was a beat since it was confirmed to be hung."""
        position = self._position()
        here = (position.step, position.phase) if position else (None, None)
        return (here, self._steps, self._failed) != (self._stalled_in, *self._stalled_with)

    def _went_on(self) -> bool:
        """Whether what was hung, and has ended, was hung no more by then.

        One that was killed, or that fails without a beat, may have been hung to its very end.
        """
        return self._moved() or self._process.exit_code == 0

    def _how_it_ended(self) -> str:
        process = self._process
        if process.signal is not None:
            return f"it was then killed by {process.signal}"
        if process.exit_code is not None:
            return f"it then exited with code {process.exit_code}"
        if process.not_ended:
            return "its guard was killed, and it could not be ended"
        return "then its guard was killed, and it ended with it"

    def _keep(self) -> None:
        assert self._cause is not None
        self._why = Why.HUNG
        self._process.keep()
        self._cause = msgspec.structs.replace(
            self._cause,
            summary=f"{self._cause.summary}; it is kept, as process {self._process.pid}",
            evidence=self._cause.evidence | {"kept_pid": self._process.pid},
        )

    def _end(self, why: Why, grace: float) -> None:
        self._why = self._why or why
        self._no_tools.set()
        self._process.reap(grace)

    def _finish(self) -> ScenarioResult:
        process = self._process
        ended = process.status is not None and self._why is None
        process.close(keep_kernels=ended and process.exit_code == 0)
        self._samples.close()
        self._end_evidence()
        self._read_beats()
        if self._cause is not None and self._why is None:
            # It ended while it was looked at or waited for, and not by us.
            if self._went_on():
                self._resolved(self.judgement.last_progress, time.monotonic())
            else:
                summary = f"{self._cause.summary}; {self._how_it_ended()}"
                self._cause = msgspec.structs.replace(self._cause, summary=summary)
        self._settle()
        self._read_beats()
        position = self._position()
        ending = Ending(
            wall_s=time.monotonic() - self.started,
            exit_code=process.exit_code,
            signal=process.signal,
            cause=self._cause,
            stalled_at_s=self._stalled_at(),
            detected_at_s=self._detected_at and self._detected_at - self.started,
            transients=tuple(self._transients),
            doubts=tuple(self._doubts),
            address_space=process.address_space,
            oom_kills=observe.oom_kills() - self._oom_kills,
            over_budget=self._why is Why.BUDGET,
            interrupted=self._why is Why.INTERRUPT,
            ended_by=self._ended_by,
            doing=self._doing or self._inspected(),
            position=position,
            unread=observe.unread(self._samples.last) if self._samples.last else {},
            rss_peak=max(self.rss_peak, process.rss_peak or 0) or None,
        )
        ending = self._completed(ending)
        left = not_ended.find(process.not_ended)
        ending = msgspec.structs.replace(ending, findings=(*ending.findings, *left))
        written = record.load(self.folder)
        self.error, self.mlx = written.error, written.mlx
        return classify.classify(written, ending, self.info, self.spec.settings, self.spec.repeat)

    def _inspected(self) -> str:
        """What the last closer look at it showed, if it has made no progress since."""
        last = self._closer[1].last if self._closer else None
        return deciding(last).summary if last is not None else ""

    def _end_evidence(self) -> None:
        """There is nothing left to look at: what was seen by now is the evidence."""
        self._no_tools.set()
        if self._collecting is not None:
            self._collecting.join(TOOLS_S)
            if not self._collecting.is_alive():
                self._take_evidence()

    def _settle(self) -> None:
        """The process is gone and its output read: bring its beats to their last place."""

    def _completed(self, ending: Ending) -> Ending:
        """`ending` with what only this kind of job knows."""
        return ending

    def _position(self) -> Position | None:
        return read_position(self.folder)

    def _stalled_at(self) -> float | None:
        if self._cause is None:
            return None
        return max(0.0, self.judgement.last_progress - self.started)

    @property
    def rss_peak(self) -> int:
        return self._samples.rss_peak

    @property
    def position(self) -> Position | None:
        return self.snapshot.position if self.snapshot else None
