"""The job that supervises one run of a plan."""

from __future__ import annotations

from pathlib import Path

from harness.model import WorkerSpec
from harness.session import hostfile
from harness.session.plan import Options, PlannedRun
from harness.supervise.command import CommandJob
from harness.supervise.job import Job
from harness.supervise.scenario_ranks import RankedJob
from harness.supervise.terminal import Terminal


def start(run: PlannedRun, options: Options, folder: Path, terminal: Terminal | None) -> Job:
    """Start `run`, with its files in a new folder of its own below `folder`."""
    home = folder / run.info.name / str(run.repeat)
    home.mkdir(parents=True)
    ranks = run.settings.ranks if run.settings else 1
    spec = WorkerSpec(
        scenario=run.info.name,
        path=str(Path(run.info.path).resolve()) if run.info.path else "",
        folder=str(home.resolve()),
        settings=run.settings,
        repeat=run.repeat,
        ranks=ranks,
        hostfile=hostfile.of(options.hostfile, ranks),
    )
    budget = options.budget
    if run.info.verdict is not None and run.info.verdict.budget is not None:
        budget = min(budget, run.info.verdict.budget)
    if spec.ranks > 1:
        return RankedJob(run.info, spec, budget, options.cold, options.on_hang)
    if run.info.command is None:
        return Job(run.info, spec, budget, options.cold, options.on_hang)
    if terminal is None:
        return CommandJob(run.info, spec, budget, options.on_hang)
    ends, prompts = terminal.ends(), terminal.prompts
    return CommandJob(run.info, spec, budget, options.on_hang, ends, prompts)
