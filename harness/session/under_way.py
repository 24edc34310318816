"""A run while it is under way: its state, and the observer of the scheduler that records it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness import privacy
from harness.errors import UsageError, remedy
from harness.model import LeftOut, Outcome, RunResult, ScenarioResult, Settings
from harness.privacy import personal
from harness.report import write_all
from harness.session import jobs
from harness.session.begin import begin, now, on_device, with_versions
from harness.session.conclude import conclude, is_decided
from harness.session.folder import published, save, save_plan
from harness.session.plan import Judge, Options, PlannedRun
from harness.supervise import foreground, scheduler

if TYPE_CHECKING:
    from harness.session.resume import EarlierRun
    from harness.supervise.job import Job
    from harness.supervise.terminal import Terminal


class Session:
    """The state of one run while it is under way, and the observer that records it."""

    def __init__(
        self,
        plan: Sequence[PlannedRun],
        settings: Settings | None,
        options: Options,
        observer: scheduler.Observer,
        command: Sequence[str],
        folder: Path,
        terminal: Terminal | None,
        earlier: EarlierRun | None,
        judge: Judge | None = None,
    ) -> None:
        self._plan = plan
        self._judge = judge
        self._options = options
        self._observer = observer
        self._folder = folder
        self._terminal = terminal
        self._earlier = earlier
        self._personal = personal.gather()
        self._mistake: str | None = None
        self.unwritten: OSError | None = None
        """The error because of which results are known and not on the disk."""
        self._active: list[str] = []
        self._known_hangs: dict[str, set[str]] = {}
        """Fingerprints of hangs that have stood their patience, by scenario."""
        self._run, self._saved_plan = begin(plan, settings, options, command, earlier)
        if earlier is not None:
            self._personal = personal.joined(personal.recall(folder), self._personal)
        self._before = self._run
        self._device = self._run.environment.device
        self.results = {(r.scenario, r.repeat): r for r in self._run.results}
        self._order = [*self.results, *((run.info.name, run.repeat) for run in plan)]

    def run(self) -> RunResult:
        # Before the first result too: a harness that is killed leaves a run that can be reported.
        personal.keep(self._personal, self._folder)
        if self._saved_plan is not None:
            save_plan(self._saved_plan, self._folder)
        save(self._run, self._folder, self._personal)
        with scheduler.requests() as interrupts:
            interrupted = self._carry_out(interrupts)
            if self._mistake is not None:
                raise UsageError(self._mistake)
            before = interrupts.count
            # Another Ctrl-C does not cut this short: the reports take little time.
            try:
                self._write(interrupted)
                write_all(self._folder, self._options.full)
                self.unwritten = None  # the disk has room again
            except OSError as error:
                self._keep(error)
            late = interrupts.count > before
        if late and not interrupted and self.unwritten is None:
            raise KeyboardInterrupt(f"the run is complete; its report is in {self._folder}")
        return self._run

    def _keep(self, error: OSError) -> None:
        """Go on after an error of a disk that is full: the verdict is told all the same."""
        if not remedy(error):
            raise error
        self.unwritten = error

    def published(self) -> RunResult:
        """The run as run.json has it."""
        return published(self._run, self._personal)

    def _carry_out(self, interrupts: scheduler.Interrupts) -> bool:
        """Run the plan; returns True when the user interrupted it."""
        replays = jobs.replays(self._options)
        if self._terminal is not None:
            _, interrupted = foreground.run(
                self._terminal, lambda: self._start(self._plan[0]), self, interrupts, replays
            )
        else:
            _, interrupted = scheduler.run(
                [partial(self._start, run) for run in self._plan],
                self._options.jobs,
                self,
                interrupts,
                keep_going=lambda: self._mistake is None,
                wanted=self._wanted,
                followers=replays,
            )
        return interrupted

    def withdraw(self) -> None:
        """Undo everything after a mistake of the user's that came before any result."""
        if len(self.results) > len(self._before.results):
            return
        if self._earlier is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for run in self._plan:
            home = self._folder / run.info.name
            shutil.rmtree(home / str(run.repeat), ignore_errors=True)
            with suppress(OSError):
                home.rmdir()  # fails when it is not empty
        save_plan(self._earlier.plan, self._folder)
        save(self._earlier.run, self._folder, self._personal)

    def _start(self, run: PlannedRun) -> Job:
        known = self._known_hangs.setdefault(run.info.name, set())
        return jobs.start(run, self._options, self._folder, self._terminal, known)

    def _wanted(self, index: int) -> bool:
        """True when the run at `index` of the plan can still contribute to the result."""
        run, options = self._plan[index], self._options
        if self._judge is not None and not self._judge.wanted(
            run, self._run, self._active, self._folder
        ):
            return False
        results = [result for (name, _), result in self.results.items() if name == run.info.name]
        failed = sum(r.outcome not in (Outcome.COMPLETED, Outcome.SKIPPED) for r in results)
        if options.stop_after is not None and failed >= options.stop_after:
            self._leave_out(run, f"{failed} of its runs did not complete")
            return False
        if options.until_decided and self.results:
            # A run that is under way can still contribute: it counts as a remaining one.
            remaining = [*self._active, *(later.info.name for later in self._plan[index:])]
            if is_decided(self._run, self._ordered(), remaining):
                self._leave_out(run, "it could not change the diagnosis")
                return False
        return True

    def _leave_out(self, run: PlannedRun, reason: str) -> None:
        left = LeftOut(scenario=run.info.name, repeat=run.repeat, reason=reason)
        self._run = msgspec.structs.replace(self._run, left_out=(*self._run.left_out, left))

    def _ordered(self) -> tuple[ScenarioResult, ...]:
        results = map(self.results.get, self._order)
        return tuple(result for result in results if result is not None)

    def _write(self, interrupted: bool | None = None) -> None:
        continued = self._run.continued
        if continued:
            last = msgspec.structs.replace(continued[-1], interrupted=bool(interrupted))
            continued = (*continued[:-1], last)
        self._run = conclude(
            msgspec.structs.replace(
                self._run,
                finished=now(),
                results=self._ordered(),
                left_out=tuple(
                    left
                    for left in self._run.left_out
                    if (left.scenario, left.repeat) not in self.results
                ),
                interrupted=bool(interrupted) or self._before.interrupted,
                continued=continued,
            ),
            self._folder,
        )
        if self._judge is not None:
            self._run = self._judge.concluded(self._run, self._folder)
        known = privacy.with_hosts(self._run, self._personal)
        if known != self._personal:
            personal.keep(known, self._folder)
            self._personal = known
        save(self._run, self._folder, known)

    # -- as the scheduler's observer

    def started(self, job: Job) -> None:
        self._active.append(job.info.name)
        self._observer.started(job)

    def looked(self, jobs: Sequence[Job]) -> None:
        self._observer.looked(jobs)

    def finished(self, job: Job, result: ScenarioResult) -> None:
        self._active.remove(job.info.name)
        if job.error is not None and job.error.usage:
            self._mistake = f"{result.scenario}: {job.error.message}"
            return
        if job.mlx is not None and self._run.environment.device is None:
            self._run = on_device(self._run, job.mlx)
        if self._run.settings is None:
            self._run = with_versions(self._run, job.versions)
        result = jobs.finished(result, self._folder, self._run.environment)
        self.results[result.scenario, result.repeat] = result
        # After each result: a harness that is killed leaves those that it has.
        try:
            self._write()
        except OSError as error:
            self._keep(error)
        self._observer.finished(job, result)
