"""Each stage of an investigation: carried out, and put into a line."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness.errors import HarnessError, UsageError, with_remedy
from harness.flips import plan as flips
from harness.flips.judge import LadderJudge
from harness.investigate import judgment
from harness.investigate.judgment import Shown
from harness.investigate.model import StageName, StageResult, Status
from harness.model import FlipVerdict, Outcome, RunResult, ScenarioResult
from harness.observe import installation, process_names
from harness.releases import symptoms
from harness.releases.plan import Plan
from harness.report import summary
from harness.report.sections import ladder as sections
from harness.session import plan as runs
from harness.session.execute import execute
from harness.session.plan import Options, PlannedRun
from harness.supervise.scheduler import Silent

Say = Callable[[str], None]
Told = Callable[[str, str, Outcome], None]
"""Called for each run that ended: its name, its end in a line, and its outcome."""


@dataclass
class Case:
    """The target of the investigation, its place, and the facts so far."""

    plan: Plan
    folder: Path
    command: Sequence[str]
    say: Say
    told: Told
    left: Callable[[], float]
    """The seconds that are left."""
    run: RunResult | None = None
    """The runs of the training as it is."""
    home: Path | None = None
    """Their folder."""
    seen: Shown | None = None
    reason: str = ""
    """The reason why no further stage can change the answer."""
    stages: list[StageResult] = field(default_factory=list)

    def budget(self, stage: StageName) -> float:
        """The seconds that one run of `stage` may take."""
        return max(1.0, min(self.plan.budget, judgment.share(stage, self.left())))

    def run_s(self) -> float:
        """The seconds of one run, from those that there were."""
        times = sorted(one.wall_s for one in self.run.results) if self.run else []
        return times[len(times) // 2] if times else 1.0

    def options(self, stage: StageName) -> Options:
        return Options(
            out=self.folder / stage.value,
            budget=self.budget(stage),
            patience=self.plan.patience,
            cold=self.plan.cold,
            full=self.plan.full,
        )

    def relative(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)


class _Observer(Silent):
    """Tells of each run as it ends."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def finished(self, job: object, result: ScenarioResult) -> None:
        name = result.scenario + (f" #{result.repeat}" if result.repeat else "")
        self._told(name, summary.verdict(result), result.outcome)


class _Repeats:
    """The judge of the first runs: no more of them once no other one can change the answer."""

    def __init__(self, go_on: Callable[[], bool]) -> None:
        self._go_on = go_on

    def wanted(
        self, planned: PlannedRun, run: RunResult, active: Sequence[str], folder: Path
    ) -> bool:
        return not run.results or (not judgment.closed(run) and self._go_on())

    def concluded(self, run: RunResult, folder: Path) -> RunResult:
        return run


def look(case: Case) -> None:
    """Take what the runs of the training as it is have shown into `case`."""
    assert case.run is not None
    case.seen = judgment.shown([symptoms.of(r, summary.verdict(r)) for r in case.run.results])
    case.reason = judgment.closed(case.run)


def first_runs(case: Case) -> StageResult:
    """Run the training as it is."""
    request, plan = case.plan.investigate, case.plan
    assert request is not None
    if plan.settings is None:
        planned = runs.commands([plan.target], request.repeat)
    else:
        planned = runs.make([plan.target], plan.settings, request.repeat)
    until = case.left() - judgment.share(StageName.RUNS, case.left())
    judge = _Repeats(lambda: case.left() > until)
    case.run, case.home = execute(
        planned, plan.settings, case.options(StageName.RUNS), _Observer(case.told), case.command,
        judge=judge,
    )  # fmt: skip
    look(case)
    assert case.seen is not None
    return StageResult(
        stage=StageName.RUNS,
        status=Status.INTERRUPTED if case.run.interrupted else Status.DONE,
        summary=judgment.in_words(case.seen, case.run),
        found=bool(case.reason) and case.seen.when is not None,
        folder=case.relative(case.home),
    )


def check(plan: Plan) -> None:
    """Raise UsageError where the first stage cannot run what `plan` investigates."""
    if plan.settings is not None:
        installation.need_mlx()


def ladder_for(plan: Plan) -> flips.Ladder:
    """The environment ladder of what `plan` investigates."""
    return flips.ladder(plan.target, os.environ, installation.backend())


def environment(case: Case) -> StageResult:
    """Run the training with one setting changed at a time."""
    assert case.run is not None
    ladder, settings = ladder_for(case.plan), None
    if case.plan.settings is not None:
        settings = runs.make([case.plan.target], case.plan.settings, 1)[0].settings
    until = case.left() - judgment.share(StageName.ENVIRONMENT, case.left())
    judge = LadderJudge(ladder, lambda: case.left() > until, case.run.results)
    run, made = execute(
        flips.runs(ladder, settings), case.plan.settings, case.options(StageName.ENVIRONMENT),
        _Observer(case.told), case.command, judge=judge,
    )  # fmt: skip
    assert run.ladder is not None
    cured = [one for one in run.ladder.flips if one.verdict is FlipVerdict.CURED]
    tried = [one for one in run.ladder.flips if one.verdict is FlipVerdict.NOT_CURED]
    return StageResult(
        stage=StageName.ENVIRONMENT,
        status=Status.INTERRUPTED if run.interrupted else Status.DONE,
        summary=sections.answer(run.ladder).partition(": ")[0],
        facts=(
            *(f"{one.change}: it came in 0 of {one.absent} runs" for one in cured),
            *([f"not cured by {', '.join(one.change for one in tried)}"] if tried else []),
        ),
        found=bool(cured),
        folder=case.relative(made),
    )


def python_of(plan: Plan) -> str:
    """The Python that environments are made from: that of the target, as far as it is known."""
    request, command = plan.investigate, plan.target.command
    if request is not None and request.python is not None:
        return request.python
    first = command.argv[0] if command is not None else ""
    if first and process_names.is_python(Path(first).name):
        return shutil.which(first) or sys.executable
    return sys.executable


def portable(plan: Plan) -> Plan:
    """`plan` with a command that takes the Python of an environment, and not one by its path."""
    command = plan.target.command
    if command is None or not process_names.is_python(Path(command.argv[0]).name):
        return plan
    argv = ("python", *command.argv[1:])
    target = msgspec.structs.replace(
        plan.target, command=msgspec.structs.replace(command, argv=argv)
    )
    return msgspec.structs.replace(plan, target=target)


def failed(stage: StageName, error: HarnessError | OSError) -> StageResult:
    """The end of a stage that could not be carried out."""
    status = Status.SKIPPED if isinstance(error, UsageError) else Status.FAILED
    return StageResult(stage=stage, status=status, summary=in_words(error))


def in_words(error: HarnessError | OSError) -> str:
    """An error in one line, with what to do about it."""
    return with_remedy(error) if isinstance(error, OSError) else str(error)
