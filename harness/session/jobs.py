"""The job that supervises one run of a plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.model import Environment, ScenarioResult, WorkerSpec
from harness.model.settings import NO_PATIENCE, RUN_PATIENCE, WATCH_PATIENCE
from harness.report.known_issues import with_known_issues
from harness.session import hostfile
from harness.session.locate import Replays
from harness.session.plan import Options, PlannedRun
from harness.supervise.command import CommandSteps
from harness.supervise.handling import Handling
from harness.supervise.job import Job
from harness.supervise.notify import Notifier
from harness.supervise.scenario_ranks import ScenarioRanks
from harness.supervise.terminal import Terminal


def start(
    run: PlannedRun,
    options: Options,
    folder: Path,
    terminal: Terminal | None,
    known_hangs: set[str],
) -> Job:
    """Start `run`, with its files in a new folder of its own below `folder`.

    `known_hangs` are the hangs of earlier runs of the same scenario; this one adds its own.
    """
    home = _home(folder, run.info.name, run.repeat)
    home.mkdir(parents=True)
    ranks = run.settings.ranks if run.settings else 1
    spec = WorkerSpec(
        scenario=run.info.name,
        path=str(Path(run.info.path).resolve()) if run.info.path else "",
        own=str(Path(run.info.own.path).resolve()) if run.info.own else "",
        folder=str(home.resolve()),
        settings=run.settings,
        repeat=run.repeat,
        ranks=ranks,
        hostfile=hostfile.of(options.hostfile, ranks),
        device_required="device" not in run.info.settings,
        interpreter=options.interpreter,
    )
    handling = _handling(run, options, known_hangs)
    if spec.ranks > 1:
        return Job(run.info, spec, handling, ScenarioRanks)
    if run.info.command is None:
        return Job(run.info, spec, handling)
    ends = terminal.ends() if terminal is not None else None
    after = options.doubted_after
    return Job(run.info, spec, handling, lambda state: CommandSteps(state, ends, after))


def replays(options: Options) -> Replays:
    """The replays that follow the runs of a plan whose numbers stop being finite."""
    return Replays(options.locate, options.budget)


def finished(result: ScenarioResult, folder: Path, environment: Environment) -> ScenarioResult:
    """The result of a job that has ended, with what its files below `folder` say of it."""
    return with_known_issues(result, _home(folder, result.scenario, result.repeat), environment)


def _home(folder: Path, scenario: str, repeat: int) -> Path:
    return folder / scenario / str(repeat)


def _handling(run: PlannedRun, options: Options, known_hangs: set[str]) -> Handling:
    """The handling of a run: by the options and, of a control, by its expected verdict."""
    budget, verdict = options.budget, run.info.verdict
    if verdict is not None and verdict.budget is not None:
        budget = min(budget, verdict.budget)
    usual = RUN_PATIENCE if run.info.command is None else WATCH_PATIENCE
    if verdict is not None:
        usual = NO_PATIENCE  # a control is known to hang
    handling = Handling(
        budget=budget,
        cold=options.cold,
        on_hang=options.on_hang,
        patience=options.patience or usual,
        memory=options.memory,
        known_hangs=known_hangs,
        once=options.doubted_after is not None,
    )
    return replace(handling, notify=Notifier(options.notify)) if options.notify else handling
