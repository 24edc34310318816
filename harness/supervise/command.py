"""An outside command as a job: started as it is, listened to, and judged like a worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from harness import inject
from harness.analysis.findings import watching
from harness.beats.file import BEATS, LEARNING, NOW, read_position
from harness.detect.policy import LOG_POLICY, STANDARD, Policy
from harness.detect.ranks import BY_ITSELF, EXITED, GONE, JobVerdict, RankColumns, RankState
from harness.logs import ADAPTERS, from_pattern
from harness.model import (
    Ending,
    Finding,
    Outcome,
    Position,
    RankResult,
    ScenarioResult,
    Snapshot,
    StartBeat,
)
from harness.supervise import launch
from harness.supervise.command_end import LauncherWords, not_started
from harness.supervise.command_ranks import Numbers, Ranks, elsewhere, expected, spoken_for
from harness.supervise.listen import Ear, LogBeats
from harness.supervise.rank_tracker import RankTracker, below
from harness.supervise.run_state import RunState
from harness.supervise.step_source import WorkerBeats
from harness.supervise.streams import Ends, captured

_Hear = Callable[[bytes], None]
OWN = "own"
"""The folder, in the run's, where a command that reports its steps itself does so."""
PRINTED = "printed"
"""The folder, in that case and for several ranks, of the beats made from printed output."""


class CommandSteps:
    """The steps of an outside command: those that it reports, or else those that it prints. When
    it is seen to start ranks, they are judged as those of a scenario would be."""

    ours = False

    def __init__(
        self, run: RunState, ends: Ends | None = None, doubted_after: float | None = None
    ) -> None:
        """`ends` are what it reads and writes, nobody's if not given. A phase is doubted after
        `doubted_after` seconds, or else when it is overdue."""
        assert run.info.command is not None
        self._doubted_after = doubted_after
        run.listen_anew(self._policy(LOG_POLICY))
        self._run = run
        self._command = run.info.command
        self._ends = ends or captured()
        self._folder = run.folder
        self._home = run.folder
        self._own = run.folder / OWN
        self._begun = self._reported = self._by_line = False
        self._elsewhere = False
        """True if ranks may run on other machines: one that is not seen may have started there."""
        self._spoken_for = False
        """True if the launcher tells of ranks that do not end well: MLX's and MPI's do."""
        self._beats = WorkerBeats(run, self._home)
        self.tracker: RankTracker = RankTracker(run, self, least=2)
        pattern = self._command.pattern
        adapters = ADAPTERS if pattern is None else (from_pattern(pattern),)
        self._adapters = adapters
        self._given_up = ""
        self._log = LogBeats(run.folder)
        self._ranks = Ranks(run.folder, self._own, adapters)
        self._started: dict[int, int] = {}
        """The process of each rank that reports its steps itself, as it says."""
        self._numbers = Numbers()
        self._ears = [Ear(self._log, adapters) for _ in self._ends.outputs]
        self._launcher = LauncherWords(len(self._ends.outputs))

    def launch(self, cold: bool) -> launch.Launched:
        (self._folder / launch.SPEC).write_bytes(msgspec.json.encode(self._run.spec))
        self._own.mkdir()
        command, replay = self._command, self._run.spec.replay
        variables = launch.environment(self._run.spec.interpreter) | command.variables
        environment = inject.environment(self._own, variables, command.inject, replay)
        piped = command.inject and not os.isatty(self._ends.stdout)
        self._by_line = launch.line_by_line(environment, command.argv[0] if piped else "")
        core, more = self._run.autopsy.expect_cores(command.argv[0], self._folder, command.inject)
        return launch.Launched(
            command.argv,
            self._folder,
            environment | more,
            self._ends,
            self._hearers(),
            core=core,
        )

    def _hearers(self) -> list[_Hear]:
        def both(first: _Hear, second: _Hear) -> _Hear:
            def hear(data: bytes) -> None:
                first(data)
                second(data)

            return hear

        pairs = zip(self._ears, self._launcher.streams, strict=True)
        return [both(ear.hear, exits.hear) for ear, exits in pairs]

    def finished(self, result: ScenarioResult) -> ScenarioResult:
        result = msgspec.structs.replace(result, ranks=tuple(map(self._placed, result.ranks)))
        if result.outcome is Outcome.CRASHED and (why := not_started(self._command, result)):
            return msgspec.structs.replace(result, reason=why)
        return self._launcher.added_to(result)

    def _placed(self, result: RankResult) -> RankResult:
        """`result` with its last step, also where that could not be compared with the others."""
        at = self._ranks.position(result.rank)
        if result.last_step is not None or at is None or at.step < 0:
            return result
        steps = self._state(result.rank, at).steps
        return msgspec.structs.replace(
            result, steps_completed=steps, last_step=at.step, last_phase=at.phase
        )

    @property
    def versions(self) -> Mapping[str, str]:
        return self._run.ran.versions(self._run.process.pid)

    def look(self, now: float) -> None:
        snapshot = self._run.snapshot
        if snapshot is not None:
            self._run.ran.look(snapshot.processes)

    def watched(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot that the watchdog sees. In that of a job of ranks the launcher rests: else
        its spinning, while it waits for their output, would count."""
        tracker, pids = self.tracker, self._numbers.of(snapshot.processes)
        if pids.items() - tracker.pids.items():
            self._elsewhere = elsewhere(snapshot.processes, pids.values())
            self._spoken_for = spoken_for(snapshot.processes, pids.values())
        for rank, pid in pids.items():
            if tracker.pids.get(rank) != pid:
                tracker.pids[rank] = pid
                tracker.ended.pop(rank, None)
        self._ranks.begun(tracker.pids, self._run.info.name)
        if not tracker.several or not pids:
            return snapshot
        ranks = below(snapshot.processes, pids.values())
        # In the place of the command itself: its state would be taken for that of the job.
        first = msgspec.structs.replace(snapshot.processes[0], pid=0, ppid=0)
        return msgspec.structs.replace(snapshot, processes=(tracker.at_rest(first, ranks), *ranks))

    def states(self, now: float) -> list[RankState]:
        """Empty also where all have ended and the command goes on, and when the user ended it."""
        run, tracker, pids = self._run, self.tracker, self.tracker.pids
        processes = run.snapshot.processes if run.snapshot and not run.process.quiet else ()
        alive = {process.pid: process for process in processes if process.state not in "ZX"}
        gone = {rank for rank, pid in pids.items() if pid not in alive}
        after = run.process.quiet and not run.ended_by_user
        if not tracker.several or (len(gone) == len(pids) and not after):
            return []
        # In this order: no beat must be missing of what the positions and the ends say.
        positions = {rank: self._ranks.position(rank) for rank in pids}
        self.read()
        issued = self._ranks.issued(pids)
        for rank in pids:
            if rank in gone:
                tracker.ended.setdefault(rank, now)
                tracker.used.pop(rank, None)
            else:
                tracker.follow(rank, tuple(alive.values()), now)
        # One that prints nothing is nowhere; where the others are then says nothing of it.
        known = all(positions.values()) and self._ranks.comparable(positions)
        return [
            self._state(
                rank,
                positions.get(rank) if known else self._ranks.joining(rank, now),
                issued.get(rank),
            )
            for rank in expected(pids, self._elsewhere)
        ]

    def _state(
        self, rank: int, position: Position | None, issued: RankColumns | None = None
    ) -> RankState:
        run, tracker = self._run, self.tracker
        used = tracker.used.get(rank)
        state, since = tracker.in_state.get(rank, (None, None)) if used else (None, None)
        ended = tracker.ended.get(rank)
        swept = ended is not None and self._launcher.ends_all
        silent = ended is None or swept or run.killed_by
        code, well = self._launcher.codes.get(rank), EXITED
        if code is None and not silent:
            code, well = self._end(rank)
        return RankState(
            rank=rank,
            columns=self._ranks.columns(rank) if position else RankColumns(),
            numbered=issued,
            started=rank in tracker.pids,
            position=position,
            process=state,
            process_since=since,
            ended_t=ended,
            swept=swept and code is None,
            exit_code=code if code is not None and code >= 0 else None,
            well=well,
            signal=launch.signal_name(-code) if code is not None and code < 0 else None,
            says_end=False,
            error=self._error(rank) if code else None,
            library_error=self._ranks.library_error(rank) if code else None,
            wait=run.evidence.waits.get(tracker.pids.get(rank, -1)),
            cpu=used.cores if used else None,
        )

    def _end(self, rank: int) -> tuple[int, str]:
        """The exit code, and what is known, of a rank that its launcher does not say has failed."""
        if self._spoken_for or self._ranks.heard:
            return 0, EXITED
        told = self._run.ran.end(self._own, self.tracker.pids.get(rank))
        if told is None:
            return 0, GONE
        return (0, BY_ITSELF) if told.error is None else (1, EXITED)

    def _error(self, rank: int) -> str | None:
        """Its exception, as its output shows it, or else as it tells: mpirun mixes the outputs."""
        pid = self.tracker.pids.get(rank)
        return self._ranks.error(rank) or self._run.ran.error(self._own, pid)

    def remote(self, rank: int) -> None:
        return None

    def inspect_remote(self) -> None:
        pass

    def findings(self, verdict: JobVerdict) -> Sequence[Finding]:
        return ()

    def grace_is_over(self, verdict: JobVerdict, failed_at: float, now: float) -> bool:
        """Those that are left may know what to do without a peer, as long as they go on."""
        return now - max(failed_at, self._run.judgment.last_progress) > STANDARD.peers_silent_s

    def _policy(self, usual: Policy) -> Policy:
        after = self._doubted_after
        if after is None:
            return usual
        return msgspec.structs.replace(usual, floor_s=after, first_s=after)

    def fell_silent(self) -> bool:
        if self._home == self._own and (hook := inject.hook_report(self._own)) and hook.disabled:
            self._listen_to(self._folder, LOG_POLICY)
            return True
        return False

    def read(self) -> None:
        pid = self._run.process.pid
        if pid is not None and not self._begun:
            self._begun = True
            self._log.started(pid, self._run.info.name)
        for ear in self._ears:
            ear.pause()
        self._ranks.listen()
        own = self._own
        if self._home != own and ((own / NOW).exists() or self._ranks.reporting):
            hook = inject.hook_report(own)
            if hook is None or hook.disabled is None:
                # It has its own word from now on, which says more, and sooner.
                self._listen_to(own, Policy())
        elif self._home == self._folder and (printed := self._first_home) is not None:
            # What all print together has the steps of each: their times would be mixed.
            self._listen_to(printed, LOG_POLICY)
        self._beats.read()
        self._see_given_up()
        first = self._ranks.first
        for rank, beat, itself in self._ranks.beats():
            if itself and isinstance(beat, StartBeat):
                self._started[rank] = beat.pid
            if itself and self._home == own:
                self._run.learn(beat, first=rank == first)

    def _add_unseen(self) -> None:
        """Add the ranks that have reported, or printed something, and ended between two looks."""
        tracker = self.tracker
        # The process of one that only prints is not known: no process has such a number.
        told = {rank: -1 - rank for rank in self._ranks.heard} | self._started
        unseen = {rank: pid for rank, pid in told.items() if rank not in tracker.pids}
        if unseen and not tracker.several:
            self._elsewhere = True  # who has started them was not seen either
        tracker.pids.update(unseen)

    def _see_given_up(self) -> None:
        """Say once that the pattern is not used any more.

        No step is seen from then on, so the pace of the steps before it says nothing either.
        """
        if self._given_up or not (reason := self._adapters[0].given_up()):
            return
        self._given_up = reason
        self._run.notes.append(reason)
        if self._home != self._own:
            self._run.forget_pace()

    @property
    def _first_home(self) -> Path | None:
        """The folder of the beats of the first of several ranks, if it prints its steps."""
        first = self._ranks.first if self.tracker.several else None
        printed = first is not None and self._ranks.columns(first).done is not None
        return self._folder / f"rank-{first}" if printed else None

    def _listen_to(self, home: Path, policy: Policy) -> None:
        self._home = home
        self._beats = WorkerBeats(self._run, home)
        self._run.listen_anew(self._policy(policy))

    def position(self) -> Position | None:
        """The position of the run. Of ranks it is that of the one furthest behind of those that
        report, or else of the first, since the last move of any."""
        if self._home == self._folder:
            return read_position(self._home)
        ranks = self._ranks.reporting if self._home == self._own else tuple(self.tracker.pids)
        known = [position for rank in ranks if (position := self._ranks.position(rank))]
        if not known:
            return read_position(self._home)
        at = min(known, key=lambda position: position.step)
        if self._home != self._own:
            at = read_position(self._home) or at
        return Position(at.step, at.phase, max(position.t for position in known))

    def before_end(self) -> None:
        self.read()
        self._add_unseen()

    def settle(self) -> None:
        self._recognitions = tuple(ear.close() for ear in self._ears)
        process = self._run.process
        self._log.close(ended_well=process.exit_code == 0 and self._run.end_reason is None)
        self._ranks.close()
        self.read()
        self._hook = inject.hook_report(self._own)
        self._run.ran.settle(self._own)
        self._launcher.settle(self._own)
        self._reported = self._home == self._own
        if self._home == self._folder:
            self._home = self._first_home or self._home  # it was all too quick
        if self._home != self._folder:
            printed = self._folder / PRINTED
            printed.mkdir()
            for name in (BEATS, NOW):
                (self._folder / name).rename(printed / name)
                if (self._own / name).exists():
                    (self._own / name).rename(self._folder / name)
        self._home = self._folder
        # Of several ranks the first one speaks for all, as with their beats.
        for followed in (self._own, self._own / "rank-0"):
            if (followed / LEARNING).exists():
                (followed / LEARNING).rename(self._folder / LEARNING)
        if (self._own / inject.FLIPPED).exists():
            (self._own / inject.FLIPPED).rename(self._folder / inject.FLIPPED)
        shutil.rmtree(self._own, ignore_errors=True)

    def _early(self, ending: Ending) -> tuple[Finding, ...]:
        """The missing part of a training that ended by itself, and well, before its total."""
        ended_well = ending.exit_code == 0 and not (ending.interrupted or ending.over_budget)
        explained = any(ear.end_is_explained for ear in self._ears)
        if self._reported or self.tracker.several or not ended_well or explained:
            return ()
        early = self._log.early
        return watching.ended_early(*early) if early and ending.cause is None else ()

    def completed(self, ending: Ending) -> Ending:
        failed = ending.exit_code != 0
        last = self._run.last_step
        ending = self._run.ran.completed(
            ending,
            [self._folder / output.log for output in self._ends.outputs],
            [ear.heard_at for ear in self._ears],
            last.t if last is not None else 0.0,
        )
        return msgspec.structs.replace(
            ending,
            steps=None if self._reported else (self._ranks.total or self._log.total),
            findings=(
                *self._early(ending),
                *watching.updates_skipped(*self._log.skips),
                *watching.find(
                    self._recognitions,
                    sum(ear.skipped for ear in self._ears),
                    self._reported,
                    self._hook,
                    self._run.process.left_behind,
                    given_up=self._adapters[0].given_up(),
                    program="" if self._by_line else self._command.argv[0],
                    followed=(self._folder / LEARNING).exists(),
                ),
            ),
            interrupted=ending.interrupted or (self._run.stop_typed and failed),
        )
