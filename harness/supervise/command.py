"""An outside command as a job: started as it is, listened to, and judged like a worker."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness import inject
from harness.adapters import ADAPTERS, from_pattern
from harness.beatfile import BEATS, NOW, BeatReader, read_position
from harness.findings import watching
from harness.findings.make import error
from harness.model import (
    Cause,
    Ending,
    OnHang,
    Outcome,
    Position,
    ScenarioInfo,
    ScenarioResult,
    WorkerSpec,
)
from harness.supervise import launch
from harness.supervise.doubt import Inspector, Prover
from harness.supervise.exits import Exits
from harness.supervise.job import Job, Why
from harness.supervise.listen import Ear, LogBeats
from harness.supervise.streams import Ends, captured
from harness.watchdog import Policy, Watchdog

OWN = "own"
"""The folder, in the run's, where a command that reports its steps itself does so."""
PRINTED = "printed"
"""Where in that case those beats are kept that were made of what it printed."""


LOG_POLICY = Policy(floor_s=10.0, loops=False)
"""What a training does between two reports nobody knows: it gets more time, and a main thread that
is long in one place is no hang."""


class CommandJob(Job):
    """One run of an outside command. Its steps are those it reports, or else those it prints."""

    policy = LOG_POLICY

    def __init__(
        self,
        info: ScenarioInfo,
        spec: WorkerSpec,
        budget: float,
        on_hang: OnHang = OnHang.KILL,
        ends: Ends | None = None,
        prompts: bool = False,
    ) -> None:
        """`ends` are what it reads and writes, nobody's if not given; `prompts` says that a person
        can answer it."""
        assert info.command is not None
        self._command = info.command
        self._ends = ends
        self._prompts = prompts
        self._home = Path(spec.folder)
        self._begun = self._told_to_stop = False
        super().__init__(info, spec, budget, on_hang=on_hang)

    def _launch(self, cold: bool) -> launch.Launched:
        (self.folder / "spec.json").write_bytes(msgspec.json.encode(self.spec))
        own = self.folder / OWN
        own.mkdir()
        pattern = self._command.pattern
        adapters = ADAPTERS if pattern is None else (from_pattern(pattern),)
        self._log = LogBeats(self.folder)
        ends = self._ends or captured()
        self._ears = [Ear(self._log, adapters) for _ in ends.outputs]
        # One for each stream: a sentence is not to be put together from two.
        self._exits = [Exits() for _ in ends.outputs]
        environment = inject.environment(
            own, os.environ | self._command.variables, self._command.inject
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

    def _finish(self) -> ScenarioResult:
        result = super()._finish()
        codes = {rank: code for exits in self._exits for rank, code in exits.codes.items()}
        if not codes:
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

    def signal(self, number: int) -> None:
        """Hand a signal of the terminal on to the command and what it has started with it."""
        pid = self._process.pid
        if pid is not None and self._process.status is None:
            self._told_to_stop |= number == signal.SIGINT
            with contextlib.suppress(OSError):
                os.killpg(pid, number)

    @property
    def ended_by_user(self) -> bool:
        return self._why is Why.INTERRUPT or self._told_to_stop

    def told_to_stop(self) -> None:
        """Note that the user has typed Ctrl-C, which the terminal hands to the command."""
        self._told_to_stop = True

    def _in_doubt(self, prover: Prover, inspector: Inspector, now: float) -> Cause | None:
        if self._home != self.folder and (hook := inject.told(self._home)) and hook.disabled:
            self._listen_to(self.folder, LOG_POLICY)  # it has fallen silent, which is no hang
            return None
        cause = super()._in_doubt(prover, inspector, now)
        return None if cause is not None and self._prompts and prover.prompts() else cause

    def _read_beats(self) -> None:
        if self._process.pid is not None and not self._begun:
            self._begun = True
            self._log.started(self._process.pid, self.info.name)
        for ear in self._ears:
            ear.pause()
        own = self.folder / OWN
        if self._home == self.folder and (own / NOW).exists():
            hook = inject.told(own)
            if hook is None or hook.disabled is None:
                # It has its own word from now on, which says more, and sooner.
                self._listen_to(own, Policy())
        super()._read_beats()

    def _listen_to(self, home: Path, policy: Policy) -> None:
        self._home, self.policy = home, policy
        self._reader = BeatReader(home)
        self._watchdog = Watchdog(policy)
        self._doubt = None
        self._steps = 0

    def _position(self) -> Position | None:
        return read_position(self._home)

    def _settle(self) -> None:
        self._recognitions = tuple(ear.close() for ear in self._ears)
        self._log.close()
        self._read_beats()
        own = self.folder / OWN
        self._hook = inject.told(own)
        if self._home == own:
            printed = self.folder / PRINTED
            printed.mkdir()
            for name in (BEATS, NOW):
                (self.folder / name).rename(printed / name)
                (own / name).rename(self.folder / name)
            self._home = self.folder
        shutil.rmtree(own, ignore_errors=True)

    def _completed(self, ending: Ending) -> Ending:
        itself = (self.folder / PRINTED).exists()
        failed = ending.exit_code != 0
        return msgspec.structs.replace(
            ending,
            steps=None if itself else self._log.total,
            findings=watching.find(
                self._recognitions, sum(ear.skipped for ear in self._ears), itself, self._hook
            ),
            interrupted=ending.interrupted or (self._told_to_stop and failed),
        )
