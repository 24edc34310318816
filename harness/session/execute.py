"""The execution of a plan: makes the folder of the run, runs it, and writes the reports there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness import __version__, privacy
from harness.errors import HarnessError, UsageError
from harness.model import LeftOut, Outcome, RunResult, ScenarioInfo, ScenarioResult, Settings
from harness.observe import environment, processes
from harness.privacy import personal
from harness.report import write_all
from harness.session import jobs, resume
from harness.session.conclude import conclude, is_decided
from harness.session.folder import SavedPlan, explain, locked, new_folder, save, save_plan
from harness.session.plan import Options, PlannedRun
from harness.supervise import debug, foreground, scheduler
from harness.text.units import plural

if TYPE_CHECKING:
    from harness.supervise.job import Job
    from harness.supervise.terminal import Terminal


def execute(
    plan: Sequence[PlannedRun],
    settings: Settings | None,
    options: Options,
    observer: scheduler.Observer,
    command: Sequence[str],
    terminal: Terminal | None = None,
    earlier: resume.EarlierRun | None = None,
) -> tuple[RunResult, Path]:
    """Run all of `plan`; returns the result and the folder that it was written to.

    With a `terminal`, the plan is one outside command that runs in it as if it was started there.
    With `earlier`, whose lock the caller holds, the results are added to that run.

    Raises UsageError when the folder cannot be made, when processes cannot be observed, or when a
    worker refuses the settings. Raises HarnessError when the disk is full.
    """
    processes.check()
    folder = earlier.folder if earlier else new_folder(options.out)
    session = _Session(plan, settings, options, observer, command, folder, terminal, earlier)
    try:
        # A terminal that is lent to a command has no place for the log.
        log = folder / debug.FILE if terminal is not None else None
        with nullcontext() if earlier else locked(folder), debug.writing(options.debug, log):
            return session.run(), folder
    except UsageError:
        session.withdraw()
        raise
    except OSError as error:
        raise HarnessError(explain(error, folder)) from error


class _Session:
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
        earlier: resume.EarlierRun | None,
    ) -> None:
        self._plan = plan
        self._options = options
        self._observer = observer
        self._folder = folder
        self._terminal = terminal
        self._earlier = earlier
        self._personal = personal.gather()
        self._mistake: str | None = None
        self._active: list[str] = []
        self._known_hangs: dict[str, set[str]] = {}
        """Fingerprints of hangs that have stood their patience, by scenario."""
        if earlier is not None:
            self._personal = personal.joined(personal.recall(folder), self._personal)
            self._saved_plan: SavedPlan | None = resume.extended_plan(earlier, plan)
            self._run = resume.extended_run(earlier, plan, command, _now())
        else:
            machine = environment.gather()
            self._saved_plan = resume.plan_to_save(plan, settings, options, machine)
            self._run = RunResult(
                harness_version=__version__,
                started=_now(),
                command=tuple(command),
                environment=machine,
                settings=settings,
                scenarios=_unique(plan),
                full=options.full,
            )
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
            self._write(interrupted)
            write_all(self._folder, self._options.full)
            late = interrupts.count > before
        if late and not interrupted:
            raise KeyboardInterrupt(f"the run is complete; its report is in {self._folder}")
        return self._run

    def _carry_out(self, interrupts: scheduler.Interrupts) -> bool:
        """Run the plan; returns True when the user interrupted it."""
        if self._terminal is not None:
            _, interrupted = foreground.run(
                self._terminal, lambda: self._start(self._plan[0]), self, interrupts
            )
        else:
            _, interrupted = scheduler.run(
                [lambda run=run: self._start(run) for run in self._plan],  # type: ignore[misc]
                self._options.jobs,
                self,
                interrupts,
                keep_going=lambda: self._mistake is None,
                wanted=self._wanted,
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
        results = [result for (name, _), result in self.results.items() if name == run.info.name]
        failed = sum(r.outcome not in (Outcome.COMPLETED, Outcome.SKIPPED) for r in results)
        if options.stop_after is not None and failed >= options.stop_after:
            self._leave_out(run, f"{plural(failed, 'run')} of it did not complete")
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
                finished=_now(),
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
            known = environment.on_device(self._run.environment, job.mlx.device, job.mlx.memory)
            self._run = msgspec.structs.replace(self._run, environment=known)
        self.results[result.scenario, result.repeat] = result
        # After each result: a harness that is killed leaves those that it has.
        self._write()
        self._observer.finished(job, result)


def _unique(plan: Sequence[PlannedRun]) -> tuple[ScenarioInfo, ...]:
    return tuple({run.info.name: run.info for run in plan}.values())


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
