"""The replays that follow runs whose numbers stopped being finite: each a job of its own."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from harness.analysis import origin
from harness.inject.inside.locate import ORIGIN
from harness.model import Command, Locate, Origin, Replay, ScenarioResult
from harness.model.settings import short_patience
from harness.supervise.command import CommandSteps
from harness.supervise.handling import Handling
from harness.supervise.job import Job
from harness.supervise.step_source import WorkerSteps
from harness.text.units import duration

FOLDER, MOST = "replay", 3
"""The folder of the first replay of a run, and the most that a run has: from a checkpoint, from the
start, and at the step that this shows."""
LEAST_S, TIMES = 120.0, 5.0
"""The time limit of a replay in seconds, and in times of the run; the longer of the two."""
_MLX_LM = ("mlx_lm", "mlx_lm.lora")


@dataclass(frozen=True)
class _Following:
    """A replay that is under way, and the run that it follows."""

    job: Job
    result: ScenarioResult
    replay: Replay
    began: float
    """The monotonic time at which the first replay of this run began."""
    number: int = 1


class Replays:
    """Follows each run that diverged with a replay, for the scheduler."""

    def __init__(self, locate: Locate, budget: float) -> None:
        """`budget` is that of a run, in seconds."""
        self._locate = locate
        self._budget = budget
        self._under_way: dict[Job, _Following] = {}

    def next(self, job: Job, result: ScenarioResult) -> Job | None:
        """The replay that follows `job`, which has ended with `result`; None if there is none."""
        following = self._under_way.get(job)
        if following is None:
            return self._first(job, result)
        facts = _facts(job)
        replay = origin.again(following.replay, facts) if facts else None
        if replay is None or job.ended_by_user or following.number == MOST:
            return None
        more = self._start(replace(following, replay=replay, number=following.number + 1))
        if more is not None:
            del self._under_way[job]
        return more

    def combined(self, job: Job, result: ScenarioResult) -> tuple[Job, ScenarioResult]:
        """The run that `job` replayed and its result with the origin; of another job these two."""
        following = self._under_way.pop(job, None)
        if following is None:
            return job, result
        return following.job, origin.with_origin(following.result, _origin(following, job, result))

    def _first(self, job: Job, result: ScenarioResult) -> Job | None:
        replay = origin.request(result, self._locate)
        if replay is None or job.ended_by_user or job.spec.ranks > 1:
            return None
        if not _may_be_run_again(job.info.command, result, self._locate):
            return None
        if job.info.command is not None:
            replay = msgspec.structs.replace(replay, since=time.time() - result.wall_s)
        following = self._start(_Following(job, result, replay, time.monotonic()))
        if following is not None:
            following.notes.append(
                "the numbers are not finite; the run is replayed to find the operation "
                "(--no-locate turns this off)"
            )
        return following

    def _start(self, following: _Following) -> Job | None:
        """Start the replay; None where the disk has no room for it, or no process can be had."""
        run, number = following.job, following.number
        folder = Path(run.spec.folder) / (FOLDER if number == 1 else f"{FOLDER}-{number}")
        name = f"{run.info.name} (replay)"
        info = msgspec.structs.replace(run.info, name=name, verdict=None)
        spec = msgspec.structs.replace(
            run.spec, scenario=name, folder=str(folder), replay=following.replay
        )
        budget = min(self._budget, max(LEAST_S, TIMES * following.result.wall_s))
        handling = Handling(budget=budget, patience=short_patience(budget))
        try:
            folder.mkdir()
            steps = WorkerSteps if info.command is None else CommandSteps
            job = Job(info, spec, handling, steps)
        except OSError:
            return None
        self._under_way[job] = following
        return job


def _may_be_run_again(command: Command | None, result: ScenarioResult, locate: Locate) -> bool:
    """True for a scenario, and for a training of mlx-lm under the hook.

    A program of the user's own that calls mlx-lm may do more than train: it is run again only
    when that was asked for.
    """
    if command is None:
        return True
    hooked = any(
        finding.code == "steps_reported" and finding.evidence.get("library")
        for finding in result.findings
    )
    return hooked and (locate is Locate.ANY or _is_mlx_lm(command))


def _is_mlx_lm(command: Command) -> bool:
    """True if the command is mlx-lm's own: `python -m mlx_lm lora`, or `mlx_lm.lora`."""
    words = [Path(word).name for word in command.argv]
    if words[0] in _MLX_LM:
        return True
    for at, word in enumerate(words[:-1]):
        if word == "-m" and words[at + 1] in _MLX_LM:
            before = [one for one in words[:at] if not one.startswith("-")]
            # A script may have an option -m of its own.
            return bool(before) and before[-1].startswith(("python", "pypy"))
    return False


def _facts(job: Job) -> dict[str, Any] | None:
    try:
        facts = json.loads((job.folder / ORIGIN).read_bytes())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _origin(following: _Following, job: Job, result: ScenarioResult) -> Origin:
    lasted = time.monotonic() - following.began
    facts = _facts(job)
    if facts is not None and facts.get("status") != "earlier":
        return origin.origin(facts, lasted)
    if job.ended_by_user:
        return origin.failed("was interrupted", lasted)
    if facts is not None:
        return origin.failed(
            f"shows parameters that are not finite after step {facts.get('step')}, and a second "
            "one does not",
            lasted,
        )
    if result.exit_code == 0:
        return origin.failed("ended without an answer", lasted)
    why = result.cause.summary if result.cause else result.reason
    return origin.failed(f"ended after {duration(lasted)}: {why or result.outcome.value}", lasted)
