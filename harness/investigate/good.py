"""The release without the problem that a search has found: what else can be asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.investigate.model import StageName, StageResult
from harness.investigate.releases import PACKAGE
from harness.investigate.stages import Case
from harness.model import Command, Outcome, ScenarioInfo
from harness.releases import bisect, folder, probe, symptoms
from harness.releases.environments import Environments
from harness.releases.installer import NotInstalledError, find
from harness.releases.plan import Cell, Plan
from harness.releases.search import Seen


class Good(NamedTuple):
    """The release without the problem that a search has found."""

    version: str
    cell: Cell
    plan: Plan
    """The plan of the search."""
    when: str


def good_of(case: Case, stage: StageResult) -> Good | None:
    """The release without the problem that `stage` has found; None if it has found none."""
    if not stage.found or stage.folder is None:
        return None
    home = case.folder / stage.folder
    with folder.opened(home, "bisect") as (whole, runs):
        result = bisect.carry_out(
            whole, home, runs, case.command, lambda *_: None, go_on=lambda: False
        )
    version = result.last_good or result.first_good
    cell = next((one for one in whole.cells if one.packages[PACKAGE] == version), None)
    if version is None or cell is None or result.when is None:
        return None
    return Good(version, cell, whole, result.when)


def python_with(good: Good) -> str | None:
    """The Python of the environment of a release, which is there; None if it cannot be made."""
    try:
        return probe.prepare(good.plan, good.cell, Environments(find())).python
    except NotInstalledError:
        return None


def tried_with(case: Case, good: Good, file: Path) -> tuple[bool, str] | None:
    """True if `file` is without the problem with a good release, and its end in words. None where
    it cannot be run there.

    It need not complete there: a reduction also leaves out what never ran behind a hang.
    """
    case.say(f"  the file with {PACKAGE} {good.version}")
    argv = ("python", str(file.resolve()))
    target = ScenarioInfo(
        name=file.name, path="", summary="", doc="", source="", command=Command(argv=argv)
    )
    alone = msgspec.structs.replace(
        good.plan, target=target, settings=None, repeat=1,
        budget=max(30.0, case.budget(StageName.RELEASES)),
    )  # fmt: skip
    ran = probe.run(alone, good.cell, case.folder / StageName.REDUCE.value, case.command)
    end = ran.symptoms[0]
    if ran.interrupted or end.outcome in (Outcome.SKIPPED, Outcome.UNFINISHED):
        return None
    return symptoms.judge(symptoms.parse(good.when), end) is not Seen.SHOWN, end.summary
