"""Carries out a plan: makes the run's folder, runs it, leaves run.json and the reports there."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from harness import __version__, privacy
from harness.analysis import repeats
from harness.analysis.diagnosis import diagnose
from harness.errors import HarnessError, UsageError
from harness.model import (
    Diagnosis,
    LeftOut,
    Outcome,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    WorkerSpec,
)
from harness.observe import environment, processes
from harness.privacy import Personal, personal
from harness.report import runjson, write_all
from harness.session import hostfile, resume
from harness.session.plan import Options, Run
from harness.session.resume import Earlier
from harness.supervise import foreground, scheduler
from harness.supervise.command import CommandJob
from harness.supervise.job import Job
from harness.supervise.scenario_ranks import RankedJob
from harness.supervise.terminal import Terminal
from harness.text.units import plural


def execute(
    plan: Sequence[Run],
    settings: Settings | None,
    options: Options,
    observer: scheduler.Observer,
    command: Sequence[str],
    terminal: Terminal | None = None,
    earlier: Earlier | None = None,
) -> tuple[RunResult, Path]:
    """Run all of `plan`; returns the result and the folder it was written to.

    With a `terminal`, the plan is a single outside command that runs in it, as if started there.
    With `earlier`, which the caller holds open, it is added to that run.

    Raises UsageError when the folder cannot be made, no process could be looked at, or a worker
    finds the user's settings wrong, HarnessError when the disk is full.
    """
    processes.check()
    folder = earlier.folder if earlier else new_folder(options.out)
    session = _Session(plan, settings, options, observer, command, folder, terminal, earlier)
    try:
        with nullcontext() if earlier else resume.alone(folder):
            return session.run(), folder
    except UsageError:
        session.withdraw()
        raise
    except OSError as error:
        raise HarnessError(why(error, folder)) from error


def why(error: OSError, folder: Path) -> str:
    """What ended a run in `folder`, in words: its disk only where it is its disk."""
    if isinstance(error.filename, (str, bytes)):
        file = Path(os.fsdecode(error.filename))
        ours = file.resolve().is_relative_to(folder.resolve())
    else:
        # A write names no file.
        ours = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    if ours:
        return f"cannot write to {folder}: {error.strerror or error}"
    return str(error)


def new_folder(out: Path) -> Path:
    """A new folder OUT/<YYYYMMDD-HHMMSS>-<id>/; never one that was there before."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = out / f"{stamp}-{secrets.token_hex(2)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"cannot write to --out {out}: {error.strerror or error}") from error
    return folder


def save(run: RunResult, folder: Path, known: Personal) -> None:
    """run.json of `run`, redacted unless it is to be full. Raises OSError."""
    runjson.write(run if run.full else privacy.published(run, known), folder)


class _Session:
    """The state of one run while it is under way; also the observer that writes it down."""

    def __init__(
        self,
        plan: Sequence[Run],
        settings: Settings | None,
        options: Options,
        observer: scheduler.Observer,
        command: Sequence[str],
        folder: Path,
        terminal: Terminal | None,
        earlier: Earlier | None,
    ) -> None:
        self._plan = plan
        self._options = options
        self._observer = observer
        self._folder = folder
        self._terminal = terminal
        self._earlier = earlier
        self._personal = personal.gather()
        self._usage: str | None = None
        self._active: list[str] = []
        if earlier is not None:
            self._personal = personal.joined(personal.recall(folder), self._personal)
            self._kept: resume.Kept | None = resume.kept(earlier, plan)
            self._run = resume.begun(earlier, plan, command, _now())
        else:
            found = environment.gather()
            self._kept = resume.of(plan, settings, options, found)
            self._run = RunResult(
                harness_version=__version__,
                started=_now(),
                command=tuple(command),
                environment=found,
                settings=settings,
                scenarios=_unique(plan),
                full=options.full,
            )
        self._before = self._run
        self._device = self._run.environment.device
        self.results = {(one.scenario, one.repeat): one for one in self._run.results}
        self._order = [*self.results, *((run.info.name, run.repeat) for run in plan)]

    def run(self) -> RunResult:
        # Before the first result too: whatever kills us leaves a run that can be reported.
        personal.keep(self._personal, self._folder)
        if self._kept is not None:
            resume.keep(self._kept, self._folder)
        save(self._run, self._folder, self._personal)
        with scheduler.requests() as interrupts:
            interrupted = self._carry_out(interrupts)
            if self._usage is not None:
                raise UsageError(self._usage)
            asked = interrupts.count
            # Who asks to stop once more asks for no half of a report, and this takes no long time.
            self._write(interrupted)
            write_all(self._folder, self._options.full)
            late = interrupts.count > asked
        if late and not interrupted:
            raise KeyboardInterrupt(f"the run was over by then: it is in {self._folder}")
        return self._run

    def _carry_out(self, interrupts: scheduler.Interrupts) -> bool:
        """Run the plan; whether the user has ended it."""
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
                keep_going=lambda: self._usage is None,
                wanted=self._wanted,
            )
        return interrupted

    def withdraw(self) -> None:
        """After a mistake of the user's that came before any result, all is as it was before."""
        if len(self.results) > len(self._before.results):
            return
        if self._earlier is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        for run in self._plan:
            home = self._folder / run.info.name
            shutil.rmtree(home / str(run.repeat), ignore_errors=True)
            with suppress(OSError):
                home.rmdir()  # only if nothing else is in it
        resume.keep(self._earlier.kept, self._folder)
        save(self._earlier.run, self._folder, self._personal)

    def _start(self, run: Run) -> Job:
        folder = self._folder / run.info.name / str(run.repeat)
        folder.mkdir(parents=True)
        ranks = run.settings.ranks if run.settings else 1
        spec = WorkerSpec(
            scenario=run.info.name,
            path=str(Path(run.info.path).resolve()) if run.info.path else "",
            folder=str(folder.resolve()),
            settings=run.settings,
            repeat=run.repeat,
            ranks=ranks,
            hostfile=hostfile.of(self._options.hostfile, ranks),
        )
        budget = self._options.budget
        if run.info.verdict is not None and run.info.verdict.budget is not None:
            budget = min(budget, run.info.verdict.budget)
        on_hang = self._options.on_hang
        if spec.ranks > 1:
            return RankedJob(run.info, spec, budget, self._options.cold, on_hang)
        if run.info.command is None:
            return Job(run.info, spec, budget, self._options.cold, on_hang)
        if self._terminal is None:
            return CommandJob(run.info, spec, budget, on_hang)
        ends, prompts = self._terminal.ends(), self._terminal.prompts
        return CommandJob(run.info, spec, budget, on_hang, ends, prompts)

    def _wanted(self, index: int) -> bool:
        """Whether the run at `index` of the plan can still tell anything that was asked for."""
        run, options = self._plan[index], self._options
        mine = [one for (name, _), one in self.results.items() if name == run.info.name]
        failed = sum(one.outcome not in (Outcome.COMPLETED, Outcome.SKIPPED) for one in mine)
        if options.stop_after is not None and failed >= options.stop_after:
            self._leave_out(run, f"{plural(failed, 'run')} of it had not completed")
            return False
        if options.until_decided and self.results:
            # What is still under way may yet tell something: it counts as if it were to come.
            remaining = [*self._active, *(later.info.name for later in self._plan[index:])]
            results, world = self._ordered(), self._run
            if diagnose.decided(results, world.settings, world.environment, remaining):
                self._leave_out(run, "none of it could change the diagnosis")
                return False
        return True

    def _leave_out(self, run: Run, reason: str) -> None:
        left = LeftOut(scenario=run.info.name, repeat=run.repeat, reason=reason)
        self._run = msgspec.structs.replace(self._run, left_out=(*self._run.left_out, left))

    def _ordered(self) -> tuple[ScenarioResult, ...]:
        found = map(self.results.get, self._order)
        return tuple(result for result in found if result is not None)

    def _write(self, interrupted: bool | None = None) -> None:
        continued = self._run.continued
        if continued:
            last = msgspec.structs.replace(continued[-1], interrupted=bool(interrupted))
            continued = (*continued[:-1], last)
        self._run = concluded(
            msgspec.structs.replace(
                self._run,
                finished=_now(),
                results=self._ordered(),
                left_out=tuple(
                    one
                    for one in self._run.left_out
                    if (one.scenario, one.repeat) not in self.results
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
            self._usage = f"{result.scenario}: {job.error.message}"
            return
        if job.mlx is not None and self._run.environment.device is None:
            known = environment.on_device(self._run.environment, job.mlx.device, job.mlx.memory)
            self._run = msgspec.structs.replace(self._run, environment=known)
        self.results[result.scenario, result.repeat] = result
        # After each one, so that whatever ends us leaves what is known so far.
        self._write()
        self._observer.finished(job, result)


def concluded(run: RunResult, folder: Path) -> RunResult:
    """`run`, which lies in `folder`, with what its results come to, taken together."""
    # Controls are broken on purpose, each in its own way: several have no cause in common.
    related = sum(info.verdict is not None for info in run.scenarios) <= 1
    # A case's own baseline is not to be compared with the ladder's other scenarios.
    ladder = [info for info in run.scenarios if info.name in diagnose.LADDER]
    own = any(info.command is None and Path(info.path).parent.name != "ladder" for info in ladder)
    # Nor is a command that is no variant of anything.
    own = own or (run.settings is None and not ladder)
    found = diagnose.diagnose(
        run.results,
        run.settings,
        run.environment,
        () if own else diagnose.LADDER,
        resume.named(folder),
    )
    return msgspec.structs.replace(
        run,
        diagnosis=found if related else Diagnosis(),
        repeats=repeats.summarize(run.results),
    )


def _unique(plan: Sequence[Run]) -> tuple[ScenarioInfo, ...]:
    return tuple({run.info.name: run.info for run in plan}.values())


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
