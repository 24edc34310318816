"""An investigation from its start to its end, and how one that was interrupted goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from harness.errors import HarnessError, UsageError
from harness.investigate import judgment, report, small, stages
from harness.investigate.model import Investigation, StageName, StageResult, Status
from harness.investigate.releases import releases
from harness.investigate.stages import Case, Say, Told
from harness.releases import folder as folders
from harness.releases.plan import Plan
from harness.report import runjson
from harness.report.input import groups, subject
from harness.report.screen import of_run

STAGES: dict[StageName, Callable[[Case], StageResult]] = {
    StageName.RUNS: stages.first_runs,
    StageName.ENVIRONMENT: stages.environment,
    StageName.RELEASES: releases,
    StageName.REDUCE: small.reduced,
}
STATE = "stages.json"
"""The stages that have ended, for this user alone."""
LEAST_S = 5.0
"""With less time than that left, no stage begins."""


def carry_out(
    plan: Plan, folder: Path, command: Sequence[str], say: Say, told: Told
) -> Investigation:
    """Carry out the stages that have not ended yet, and write the report after each.

    Raises UsageError when the target cannot be run at all.
    """
    request = plan.investigate
    assert request is not None
    end = time.monotonic() + request.within
    case = Case(
        plan, folder, command, say, told, left=lambda: end - time.monotonic(),
        stages=[one for one in _read(folder) if one.status is not Status.INTERRUPTED],
    )  # fmt: skip
    _recall(case)
    interrupted = False
    for stage in StageName:
        if judgment.is_over(case.stages, stage):
            continue
        one = _stage(case, stage)
        case.stages.append(one)
        case.stages.sort(key=lambda each: list(StageName).index(each.stage))
        interrupted = one.status is Status.INTERRUPTED and not one.late
        interrupted = interrupted and case.left() > LEAST_S
        folders.private(folder / STATE, [msgspec.to_builtins(each) for each in case.stages])
        report.write(_result(case, interrupted), case.home, folder, plan.full)
        if interrupted:
            break
    return _result(case, interrupted)


def _stage(case: Case, stage: StageName) -> StageResult:
    """Carry out one stage, or say why not."""
    began = time.monotonic()
    why = judgment.unneeded(stage, case.reason, case.seen)
    if not why and case.left() < LEAST_S:
        why = "the time was over (--within)"
    if why:
        return StageResult(stage=stage, status=Status.SKIPPED, summary=why)
    flips = len(stages.ladder_for(case.plan).flips)
    took = judgment.seconds(stage, case.run_s(), flips)
    known = case.run is not None
    case.say(f"{stage.words}{judgment.about(took, case.left()) if known else ''}")
    try:
        one = STAGES[stage](case)
    except KeyboardInterrupt:
        one = StageResult(stage=stage, status=Status.INTERRUPTED, summary="interrupted")
    except (HarnessError, OSError) as error:
        if isinstance(error.__cause__ or error, BrokenPipeError):
            raise BrokenPipeError from error  # who reads our lines has gone: the stage is not over
        if stage is StageName.RUNS:
            raise
        one = stages.failed(stage, error)
    return msgspec.structs.replace(one, seconds=time.monotonic() - began)


def _result(case: Case, interrupted: bool) -> Investigation:
    headline = ""
    if case.run is not None and (group := subject(groups(case.run))) is not None:
        headline = of_run(case.run, group.worst).what
    seen = case.seen
    return Investigation(
        harness_version=case.plan.harness_version,
        target=case.plan.target.name,
        within_s=case.plan.investigate.within if case.plan.investigate else 0.0,
        answer=judgment.answer(case.stages, case.reason, headline, seen),
        healthy=not interrupted
        and seen is not None
        and seen.when is None
        and bool(seen.runs)
        and not case.reason,
        own=bool(case.reason),
        found=judgment.is_answered(case.stages, case.reason, seen),
        stages=tuple(case.stages),
        interrupted=interrupted,
    )


def _read(folder: Path) -> tuple[StageResult, ...]:
    try:
        raw = json.loads((folder / STATE).read_bytes())
        return msgspec.convert(raw, tuple[StageResult, ...], strict=False)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, msgspec.ValidationError):
        raise UsageError(f"{folder / STATE} cannot be read; begin anew") from None


def _recall(case: Case) -> None:
    """Take what earlier runs of the training as it is have shown, where there are any."""
    first = next((one for one in case.stages if one.stage is StageName.RUNS), None)
    if first is None or first.folder is None:
        return
    case.home = case.folder / first.folder
    case.run = runjson.read(case.home)
    stages.look(case)
