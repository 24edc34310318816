"""An outside command as a job: started as it is, listened to, and judged like a worker."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from harness import inject
from harness.analysis.findings import watching
from harness.beats.file import BEATS, NOW, BeatReader, read_position
from harness.detect.policy import LOG_POLICY, Policy
from harness.detect.ranks import JobVerdict, RankColumns, RankState
from harness.detect.watchdog import Watchdog
from harness.logs import ADAPTERS, from_pattern
from harness.model import (
    Cause,
    Ending,
    Outcome,
    Position,
    RankResult,
    ScenarioInfo,
    ScenarioResult,
    Snapshot,
    StepBeat,
    WorkerSpec,
)
from harness.model.finding import error
from harness.supervise import launch
from harness.supervise.command_ranks import Numbers, Ranks
from harness.supervise.handling import Handling
from harness.supervise.inspection import Inspector, Prover
from harness.supervise.job import Why
from harness.supervise.launcher_log import Exits
from harness.supervise.listen import Ear, LogBeats
from harness.supervise.rank_tracker import JudgedJob, below
from harness.supervise.streams import Ends, captured

_NO_PROGRAM = (126, 127)
"""The exit codes where a program cannot be started, as of a shell."""
OWN = "own"
"""The folder, in the run's, where a command that reports its steps itself does so."""
PRINTED = "printed"
"""Where then, and of several ranks, those beats are kept that were made of what it printed."""
LEFT_S = 10.0
"""So long without progress those may be silent that are left of a job that has lost a rank."""


class CommandJob(JudgedJob):
    """One run of an outside command. Its steps are those it reports, or else those it prints; when
    it is found to start ranks, they are judged as a job of ours would be."""

    policy = LOG_POLICY
    ours = False

    def __init__(
        self,
        info: ScenarioInfo,
        spec: WorkerSpec,
        handling: Handling,
        ends: Ends | None = None,
    ) -> None:
        """`ends` are what it reads and writes, nobody's if not given."""
        assert info.command is not None
        self._command = info.command
        self._ends = ends
        self._home = Path(spec.folder)
        self._own = self._home / OWN
        self._begun = self._told_to_stop = self._itself = False
        super().__init__(info, spec, handling)

    def _launch(self, cold: bool) -> launch.Launched:
        (self.folder / "spec.json").write_bytes(msgspec.json.encode(self.spec))
        self._own.mkdir()
        pattern = self._command.pattern
        adapters = ADAPTERS if pattern is None else (from_pattern(pattern),)
        self._adapters = adapters
        self._given_up = ""
        self._log = LogBeats(self.folder)
        self._ranks = Ranks(self.folder, self._own, adapters)
        self._numbers = Numbers()
        ends = self._ends or captured()
        self._ears = [Ear(self._log, adapters) for _ in ends.outputs]
        # One for each stream: a sentence is not to be put together from two.
        self._exits = [Exits() for _ in ends.outputs]
        environment = inject.environment(
            self._own, os.environ | self._command.variables, self._command.inject
        )
        # What Python would keep in its buffer while it hangs is the step that it hangs in.
        environment.setdefault("PYTHONUNBUFFERED", "1")
        return launch.Launched(self._command.argv, self.folder, environment, ends, self._hearers())

    def _hearers(self) -> list[Callable[[bytes], None]]:
        def both(ear: Ear, exits: Exits) -> Callable[[bytes], None]:
            def hear(data: bytes) -> None:
                ear.hear(data)
                exits.hear(data)

            return hear

        return [both(ear, exits) for ear, exits in zip(self._ears, self._exits, strict=True)]

    @property
    def _codes(self) -> dict[int, int]:
        """Exit codes of ranks that did not end well, as the launcher tells them."""
        return {rank: code for exits in self._exits for rank, code in exits.codes.items()}

    def _finish(self) -> ScenarioResult:
        result = super()._finish()
        result = msgspec.structs.replace(result, ranks=tuple(map(self._placed, result.ranks)))
        if result.outcome is Outcome.CRASHED and (why := self._not_started(result)):
            return msgspec.structs.replace(result, reason=why)
        codes = self._codes
        if not codes or result.ranks:
            return result
        told = "; ".join(filter(None, (exits.told() for exits in self._exits)))
        found = error(
            "rank_died",
            f"the launcher says that {told}",
            ranks=sorted(codes),
            codes=[codes[rank] for rank in sorted(codes)],
        )
        result = msgspec.structs.replace(result, findings=(*result.findings, found))
        if result.outcome is not Outcome.COMPLETED:
            return result
        # It returns 0 all the same.
        return msgspec.structs.replace(result, outcome=Outcome.CRASHED, reason=told)

    def _not_started(self, result: ScenarioResult) -> str | None:
        """Why there never was a program, where that is so; a shell gives the same exit codes."""
        if result.exit_code not in _NO_PROGRAM:
            return None
        name = self._command.argv[0]
        search = self._command.variables.get("PATH", os.environ.get("PATH"))
        if shutil.which(name, path=search) is not None:
            return None
        if shutil.which(name, os.F_OK, search) is not None or (
            os.sep in name and Path(name).exists()
        ):
            return f"the program {name} cannot be executed"
        hint = "; a command line that is one text is run by a shell: sh -c '...'"
        return f"the program {name} was not found" + hint * (" " in name)

    def _placed(self, told: RankResult) -> RankResult:
        """Where it was last, also where that could not be compared with the others."""
        at = self._ranks.position(told.rank)
        if told.last_step is not None or at is None or at.step < 0:
            return told
        steps = self._state(told.rank, at).steps
        return msgspec.structs.replace(
            told, steps_completed=steps, last_step=at.step, last_phase=at.phase
        )

    def signal(self, number: int) -> None:
        """Hand a signal of the terminal on to the command and what it has started with it."""
        pid = self._process.pid
        if pid is not None and self._process.status is None:
            self._told_to_stop |= number == signal.SIGINT
            with contextlib.suppress(OSError):
                os.killpg(pid, number)

    def stop(self) -> None:
        """Stop the command and what it has started with it, until they are continued."""
        if self._process.status is None:
            self._process.stop()

    @property
    def ended_by_user(self) -> bool:
        return self._why is Why.INTERRUPT or self._told_to_stop

    def _went_on(self) -> bool:
        """One that ends because the user has typed Ctrl-C has not, whatever its exit code is."""
        return self._moved() if self._told_to_stop and not self._lost else super()._went_on()

    def told_to_stop(self) -> None:
        """Note that the user has typed Ctrl-C, which the terminal hands to the command."""
        self._told_to_stop = True

    def _watched(self, snapshot: Snapshot) -> Snapshot:
        """Of a job of ranks, those: what starts them spins while it waits for their output."""
        found = self._numbers.of(snapshot.processes)
        for rank, pid in found.items():
            if self._pids.get(rank) != pid:
                self._pids[rank] = pid
                self._ended.pop(rank, None)
        self._ranks.begun(self._pids, self.info.name)
        if not self._several or not found:
            return snapshot
        ranks = below(snapshot.processes, found.values())
        # In the place of the command itself: its state would be taken for that of the job.
        first = msgspec.structs.replace(snapshot.processes[0], pid=0, ppid=0)
        return msgspec.structs.replace(snapshot, processes=(self._at_rest(first, ranks), *ranks))

    @property
    def _several(self) -> bool:
        return len(self._pids) > 1

    @property
    def ranks(self) -> Mapping[int, int]:
        return super().ranks if self._several else {}

    def _states(self, now: float) -> list[RankState]:
        """Empty also where all have ended and the command goes on, and when the user ended it."""
        processes = self.snapshot.processes if self.snapshot and not self._process.quiet else ()
        seen = {process.pid: process for process in processes if process.state not in "ZX"}
        gone = {rank for rank, pid in self._pids.items() if pid not in seen}
        after = self._process.quiet and not self.ended_by_user
        if not self._several or (len(gone) == len(self._pids) and not after):
            return []
        # In this order: no beat must be missing of what the positions and the ends say.
        positions = {rank: self._ranks.position(rank) for rank in self._pids}
        self._read_beats()
        for rank in self._pids:
            if rank in gone:
                self._ended.setdefault(rank, now)
                self._used.pop(rank, None)
            else:
                self._follow(rank, tuple(seen.values()), positions[rank], now)
        # One that prints nothing is nowhere; where the others are then says nothing of it.
        known = all(positions.values()) and self._ranks.comparable(positions)
        return [
            self._state(rank, positions.get(rank) if known else None)
            for rank in range(max(self._pids) + 1)
        ]

    def _state(self, rank: int, position: Position | None) -> RankState:
        used = self._used.get(rank)
        state, since = self._in_state.get(rank, (None, None)) if used else (None, None)
        ended = self._ended.get(rank)
        # Of one that ends well the launcher says nothing, as long as it lives.
        swept = ended is not None and any(exits.ends_all for exits in self._exits)
        silent = ended is None or swept or self._killed
        code = self._codes.get(rank, None if silent else 0)
        return RankState(
            rank=rank,
            columns=self._ranks.columns(rank) if position else RankColumns(),
            started=rank in self._pids,
            position=position,
            process=state,
            process_since=since,
            ended_t=ended,
            swept=swept and code is None,
            exit_code=code if code is not None and code >= 0 else None,
            signal=launch.signal_name(-code) if code is not None and code < 0 else None,
            says_end=False,
            error=self._ranks.error(rank) if code else None,
            wait=self._collected.waits.get(self._pids.get(rank, -1)),
            cpu=used.cores if used else None,
        )

    def _over(self, verdict: JobVerdict, now: float) -> bool:
        """Those that are left may know what to do without a peer, as long as they go on."""
        assert self._failed_at is not None
        return now - max(self._failed_at, self.judgement.last_progress) > LEFT_S

    def _in_doubt(self, prover: Prover, inspector: Inspector, now: float) -> Cause | None:
        if self._home == self._own and (hook := inject.hook_report(self._own)) and hook.disabled:
            self._listen_to(self.folder, LOG_POLICY)  # it has fallen silent, which is no hang
            return None
        return super()._in_doubt(prover, inspector, now)

    def _read_beats(self) -> None:
        if self._process.pid is not None and not self._begun:
            self._begun = True
            self._log.started(self._process.pid, self.info.name)
        for ear in self._ears:
            ear.pause()
        self._ranks.listen()
        own = self._own
        if self._home != own and ((own / NOW).exists() or self._ranks.reporting):
            hook = inject.hook_report(own)
            if hook is None or hook.disabled is None:
                # It has its own word from now on, which says more, and sooner.
                self._listen_to(own, Policy())
        elif self._home == self.folder and (printed := self._first_home) is not None:
            # What all print together has the steps of each: their times would be mixed.
            self._listen_to(printed, LOG_POLICY)
        super()._read_beats()
        self._see_given_up()
        first = self._ranks.first
        for rank, beat, itself in self._ranks.beats():
            if itself and self._home == own:
                self._watchdog.learn(beat)
                if isinstance(beat, StepBeat):
                    self._steps += 1
                    self.last = beat if rank == first else self.last

    def _see_given_up(self) -> None:
        """Say once that the pattern is not used any more.

        No step is seen from then on, so the pace of the steps before it says nothing either.
        """
        if self._given_up or not (reason := self._adapters[0].given_up()):
            return
        self._given_up = reason
        self.notes.append(reason)
        if self._home != self._own:
            self._watchdog = Watchdog(self.policy)

    @property
    def _first_home(self) -> Path | None:
        """Where the beats are of the first of several ranks, if it prints its steps."""
        first = self._ranks.first if self._several else None
        printed = first is not None and self._ranks.columns(first).done is not None
        return self.folder / f"rank-{first}" if printed else None

    def _listen_to(self, home: Path, policy: Policy) -> None:
        self._home, self.policy = home, policy
        self._reader = BeatReader(home)
        self._watchdog = Watchdog(policy)
        self._closer = None
        self._steps = 0

    def _position(self) -> Position | None:
        """Of ranks, since the last move of any: where the one is that is furthest behind of those
        that report, or else where the first is."""
        if self._home == self.folder:
            return read_position(self._home)
        ranks = self._ranks.reporting if self._home == self._own else tuple(self._pids)
        known = [position for rank in ranks if (position := self._ranks.position(rank))]
        if not known:
            return read_position(self._home)
        at = min(known, key=lambda position: position.step)
        if self._home != self._own:
            at = read_position(self._home) or at
        return Position(at.step, at.phase, max(position.t for position in known))

    def _settle(self) -> None:
        self._recognitions = tuple(ear.close() for ear in self._ears)
        self._log.close()
        self._ranks.close()
        self._read_beats()
        self._hook = inject.hook_report(self._own)
        self._itself = self._home == self._own
        if self._home == self.folder:
            self._home = self._first_home or self._home  # it was all too quick
        if self._home != self.folder:
            printed = self.folder / PRINTED
            printed.mkdir()
            for name in (BEATS, NOW):
                (self.folder / name).rename(printed / name)
                if (self._own / name).exists():
                    (self._own / name).rename(self.folder / name)
        self._home = self.folder
        shutil.rmtree(self._own, ignore_errors=True)

    def _completed(self, ending: Ending) -> Ending:
        failed = ending.exit_code != 0
        return msgspec.structs.replace(
            ending,
            steps=None if self._itself else (self._ranks.total or self._log.total),
            findings=watching.find(
                self._recognitions,
                sum(ear.skipped for ear in self._ears),
                self._itself,
                self._hook,
                self._process.left_behind,
                given_up=self._adapters[0].given_up(),
            ),
            interrupted=ending.interrupted or (self._told_to_stop and failed),
        )
