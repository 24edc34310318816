"""The beginning of a run: what run.json has before the first result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

import msgspec

from harness import __version__
from harness.model import MlxBeat, RunResult, Settings
from harness.observe import environment
from harness.session import resume
from harness.session.folder import SavedPlan
from harness.session.plan import Options, PlannedRun


def begin(
    plan: Sequence[PlannedRun],
    settings: Settings | None,
    options: Options,
    command: Sequence[str],
    earlier: resume.EarlierRun | None,
) -> tuple[RunResult, SavedPlan | None]:
    """The run as it begins, or goes on from `earlier`, and the plan that is saved beside it."""
    if earlier is not None:
        extended = resume.extended_run(earlier, plan, command, now())
        return extended, resume.extended_plan(earlier, plan)
    if settings is None:
        machine = environment.of_nobody()
    elif options.interpreter is not None:
        machine = environment.of_interpreter(environment.of_nobody(), options.interpreter)
    else:
        machine = environment.gather()
    run = RunResult(
        harness_version=__version__,
        started=now(),
        command=tuple(command),
        environment=machine,
        settings=settings,
        scenarios=tuple({run.info.name: run.info for run in plan}.values()),
        full=options.full,
    )
    return run, resume.plan_to_save(plan, settings, options, machine)


def on_device(run: RunResult, mlx: MlxBeat) -> RunResult:
    """`run` with the device that MLX has told of."""
    known = environment.on_device(run.environment, mlx.device, mlx.memory)
    return msgspec.structs.replace(run, environment=known)


def with_versions(run: RunResult, versions: Mapping[str, str]) -> RunResult:
    """`run` with the versions that a command was seen to run."""
    known = environment.of_command(run.environment, versions)
    return msgspec.structs.replace(run, environment=known)


def now() -> str:
    """The time in ISO 8601, with the zone."""
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
