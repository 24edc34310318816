"""The stage of an investigation that makes one small file, and tries it on the good release too."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.investigate.good import Good, good_of, python_with, tried_with
from harness.investigate.model import StageName, StageResult, Status
from harness.investigate.releases import PACKAGE
from harness.investigate.stages import Case, in_words

CHECKS = 6
"""Runs for which time is left after the search: of what it has left, and with the good release."""


def reduced(case: Case) -> StageResult:
    """Make the program small."""
    from harness.reduce import Progress, reduce  # needs what the extra `reduce` brings

    plan, stage = case.plan, StageName.REDUCE
    source = Path(plan.target.path) if plan.target.command is None else plan.target.command.argv
    told_at = time.monotonic()

    def progress(now: Progress) -> None:
        nonlocal told_at
        if time.monotonic() - told_at > 5.0:
            told_at = time.monotonic()
            case.say(f"  {now.stage}: {now.lines} lines after {now.tries} tries")

    assert plan.patience is not None
    good, well = _good(case)
    made = reduce(
        source,
        out=case.folder / stage.value,
        deadline=max(1.0, case.left() - CHECKS * case.run_s()),
        on_progress=progress,
        settings=plan.settings,
        patience=plan.patience.seconds,
        well=well,
    )
    unchecked = not made.checked[1]
    said = "was not run by itself" if unchecked else "did not show it each time"
    sure = "shows it in three runs by itself" if made.verified else said
    result = StageResult(
        stage=stage,
        status=Status.INTERRUPTED if unchecked else Status.DONE,
        summary=f"a file of {made.lines} lines {sure}",
        facts=(f"reduced to {made.lines} lines, in {made.tries} tries",),
        found=made.verified,
        folder=case.relative(made.path.parent),
        file=case.relative(made.path),
    )
    return _tried(case, result, made.path, good) if made.verified else result


def _good(case: Case) -> tuple[Good | None, str | None]:
    """The release without the problem that a search has found, and its Python, as far as these can
    be had: a file is made without them too."""
    found = next((one for one in case.stages if one.stage is StageName.RELEASES), None)
    if found is None:
        return None, None
    try:
        good = good_of(case, found)
        return good, None if good is None else python_with(good)
    except (HarnessError, OSError) as error:
        case.say(f"  the file is made without the good release: {in_words(error)}")
        return None, None


def _tried(case: Case, result: StageResult, file: Path, good: Good | None) -> StageResult:
    """`result`, once its file was run with the good release, where it must not show the problem.

    A reduction keeps what a run shows, and not the reason: what is left may hang for another one.
    """
    if good is None:
        return result
    try:
        tried = tried_with(case, good, file)
    except (HarnessError, OSError) as error:
        case.say(f"  the file was not run with {PACKAGE} {good.version}: {in_words(error)}")
        return result
    if tried is None:
        return result
    well, told = tried
    if well:
        fact = f"the small file with mlx {good.version}: {told}"
        return msgspec.structs.replace(
            result,
            summary=f"{result.summary}, and not with mlx {good.version}",
            facts=(*result.facts, fact),
        )
    return msgspec.structs.replace(
        result,
        summary=f"the file is no reproduction: with mlx {good.version}, where all was well, it "
        f"{told}",
        facts=(),
        found=False,
    )
