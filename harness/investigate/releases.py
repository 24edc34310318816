"""The stage of an investigation that looks for the release: first for one that mended it, then for
the one of the last year that broke it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec

from harness.investigate import judgment
from harness.investigate.model import StageName, StageResult, Status
from harness.investigate.stages import Case, portable, python_of
from harness.observe import installation
from harness.releases import bisect, folder, probe, versions
from harness.releases import plan as plans
from harness.releases.bisect import BisectResult
from harness.releases.environments import Environments
from harness.releases.installer import GivenUpError, Installer, find, within
from harness.releases.plan import BisectRequest, Plan
from harness.releases.probe import Ran
from harness.releases.search import Seen
from harness.session.folder import locked
from harness.text.units import plural

PACKAGE = "mlx"
YEAR = timedelta(days=365)
FEW = 20
"""Releases back from the one that runs, where the index tells no dates: MLX made 21 in a year."""
CERTAINTY = 0.95


def releases(case: Case) -> StageResult:
    """Bisect the releases of MLX."""
    stage = StageName.RELEASES
    assert case.run is not None
    installed = case.run.environment.versions.get(PACKAGE)
    if installed is None:
        reason = "it is not known which MLX the program runs"
        return StageResult(stage=stage, status=Status.SKIPPED, summary=reason)
    until = case.left() - judgment.share(stage, case.left())
    # An installation must not take the part of the next stage.
    try:
        with within(lambda: case.left() - until):
            return _answered(case, installed, until)
    except GivenUpError as error:
        said = f"not decided: {error}"
        return StageResult(stage=stage, status=Status.INTERRUPTED, summary=said, late=True)


def _answered(case: Case, installed: str, until: float) -> StageResult:
    stage = StageName.RELEASES
    case.say(f"  asking the index for the releases of {PACKAGE}")
    installer = find()
    path = Path(Environments(installer).python(python_of(case.plan)).path)
    ends = chosen(installer, path, installed)
    if not ends:
        reason = f"the index has no other release than {installed}"
        return StageResult(stage=stage, status=Status.SKIPPED, summary=reason)
    results: list[tuple[BisectResult, Path, Plan]] = []
    known: tuple[Ran, ...] = ()
    late = False

    def go_on() -> bool:
        nonlocal late
        late = case.left() <= until
        return not late

    for good in ends:
        whole = _plan(case, good, installed)
        result, made = _searched(case, whole, known, go_on)
        results.append((result, made, whole))
        late = late or (result.interrupted and case.left() <= until)
        if result.interrupted or result.change is not None:
            break
        known = tuple(ran for ran in result.runs if ran.cell == whole.cells[-1].name)
    return msgspec.structs.replace(_told(case, results, installed), late=late)


def chosen(installer: Installer, python: Path, installed: str) -> tuple[str, ...]:
    """The good ends to try: the newest release, which may have mended it, and one a year old."""
    ends: list[str] = []
    newest = installer.newest(PACKAGE, python)
    here = versions.parse(installed)
    if newest is not None and versions.parse(newest) > here:
        ends.append(newest)
    before = (datetime.now(timezone.utc) - YEAR).date().isoformat()
    oldest = installer.newest(PACKAGE, python, before)
    if oldest is None:
        found = versions.between(
            installer.releases(PACKAGE, python, "0", installed, False), "0", installed
        )
        oldest = found[1:-1][-FEW:][0] if found[1:-1] else None
    if oldest is not None and versions.parse(oldest) < here:
        ends.append(oldest)
    return tuple(ends)


def _plan(case: Case, good: str, bad: str) -> Plan:
    """The plan of a bisect between two releases, for what the runs have shown."""
    seen, request = case.seen, case.plan.investigate
    assert seen is not None
    assert request is not None
    question = BisectRequest(
        package=PACKAGE,
        good=str(versions.parse(good)),
        bad=str(versions.parse(bad)),
        when=str(seen.when),
        certainty=None if seen.always else CERTAINTY,
    )
    base = msgspec.structs.replace(
        portable(case.plan), kind="bisect", bisect=question, investigate=None,
        budget=case.budget(StageName.RELEASES),
    )  # fmt: skip

    def made(names: tuple[str, ...]) -> Plan:
        axes = plans.axes(
            {PACKAGE: names}, [python_of(case.plan)], request.more, "",
            installation.backend(), case.plan.settings is not None,
        )  # fmt: skip
        return msgspec.structs.replace(base, cells=axes)

    first = made((question.good,))
    listed = probe.listed(first, first.cells[0], question, pre=False)
    return made(listed[::-1] if question.mends else listed)


def _searched(
    case: Case, whole: Plan, known: tuple[Ran, ...], go_on: Callable[[], bool]
) -> tuple[BisectResult, Path]:
    names = [cell.packages[PACKAGE] for cell in whole.cells]
    case.say(f"  {len(names)} releases from {names[0]} to {names[-1]}")
    release = dict(zip([cell.name for cell in whole.cells], names, strict=True))

    def told(ran: Ran, text: str, seen: Seen | None) -> None:
        case.told(release[ran.cell], text, ran.symptoms[0].outcome)

    home = folder.begin(whole, case.folder / StageName.RELEASES.value)
    with locked(home):
        result = bisect.carry_out(whole, home, known, case.command, told, go_on=go_on)
        if result.change is not None:
            old, new = bisect.ends(result)
            pages = probe.pages(whole, whole.cells[0], PACKAGE)
            result = msgspec.structs.replace(
                result,
                changes=bisect.address(pages, old, new),
                known_issues=bisect.matches(whole, result, home),
            )
        folder.publish(result, bisect.NAME, home, whole.full)
    return result, home


def _told(
    case: Case, results: Sequence[tuple[BisectResult, Path, Plan]], installed: str
) -> StageResult:
    """The answer of the last search, or why there is none."""
    result, home, whole = results[-1]
    told = bisect.sentences(whole, result) if result.change is not None else []
    if told:
        summary = told[0].partition(": ")[0]
    elif result.interrupted:
        summary = f"not decided after {plural(len(result.runs), 'run')}{_narrowed(result, whole)}"
    else:
        oldest = min(result.releases, key=versions.parse)
        unusable = result.problem or ""
        alike = "shows it too" in unusable
        summary = f"{PACKAGE} {oldest} to {installed} show the same" if alike else unusable
    return StageResult(
        stage=StageName.RELEASES,
        status=Status.INTERRUPTED if result.interrupted else Status.DONE,
        summary=summary,
        facts=tuple(line.strip() for line in told) or (summary,),
        found=result.found,
        folder=case.relative(home),
    )


def _narrowed(result: BisectResult, whole: Plan) -> str:
    """The two releases between which the answer lies, as far as the runs have shown it."""
    assert whole.bisect is not None
    if whole.bisect.certainty is not None:
        return ""
    release = {cell.name: cell.packages[PACKAGE] for cell in whole.cells}
    seen: dict[str, list[str]] = {Seen.SHOWN.value: [], Seen.ABSENT.value: []}
    for ran, answer in zip(result.runs, result.seen, strict=True):
        seen.setdefault(answer, []).append(release[ran.cell])
    shown, absent = seen[Seen.SHOWN.value], seen[Seen.ABSENT.value]
    if not shown or not absent:
        return ""
    pick = (max, min) if whole.bisect.mends else (min, max)
    bad, good = (one(some, key=versions.parse) for one, some in zip(pick, (shown, absent),
                                                                    strict=True))  # fmt: skip
    return f": it shows with {PACKAGE} {bad}, and not with {good}"
