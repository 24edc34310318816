"""A bisect while it is under way: runs the next release until the answer is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import UsageError
from harness.model import KnownIssueMatch, Outcome
from harness.releases import probe, search, symptoms, timed
from harness.releases.crew import Crew
from harness.releases.folder import save_state
from harness.releases.plan import Plan, cell_of, label
from harness.releases.probe import Ran
from harness.releases.search import Answer, Problem, Seen
from harness.releases.symptoms import When
from harness.report import runjson
from harness.text import known_issues
from harness.text.units import percent, plural

NAME = "bisect.json"


class BisectResult(msgspec.Struct, frozen=True, kw_only=True):
    """bisect.json: the answer, and all runs that led to it."""

    schema: int = 1
    harness_version: str
    package: str
    good: str
    bad: str
    when: str | None = None
    """The symptom, in words; None until the two ends have shown one."""
    found: bool = False
    """True if the answer names one release."""
    change: str | None = None
    """`broke` or `mended`."""
    first_bad: str | None = None
    last_good: str | None = None
    first_good: str | None = None
    last_bad: str | None = None
    between: tuple[str, ...] = ()
    """Releases that could not be used, of which each could be the first one instead."""
    sure: float | None = None
    """Probability of the answer, with --certainty."""
    problem: str | None = None
    """The reason why there is no answer."""
    changes: str | None = None
    """The address of the changes between the two releases."""
    known_issues: tuple[KnownIssueMatch, ...] = ()
    """Public bugs that the runs of the bad one of the two releases show, the surest first."""
    releases: tuple[str, ...] = ()
    """All releases from the good end to the bad end."""
    runs: tuple[Ran, ...] = ()
    """The runs, in their order."""
    seen: tuple[str, ...] = ()
    """For each of `runs`: `shown`, `absent` or `unusable`."""
    missing: tuple[str, ...] = ()
    """Runs that the answer still needs."""
    twice: tuple[str, ...] = ()
    """The runs with several results, of which one counts."""
    interrupted: bool = False


Told = Callable[[Ran, str, Seen | None], None]
"""Called for each run, in one line too, and of its answer once that is known."""


def carry_out(
    plan: Plan,
    folder: Path,
    ran: Sequence[Ran],
    command: Sequence[str],
    told: Told,
    crew: Crew | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> BisectResult:
    """Search on after the runs `ran` until there is an answer, or the user interrupts it.

    The hosts of a `crew` run as many releases at the same time as they are. The state in `folder`
    is saved after each run. Without `go_on` no further round begins. Raises NoHostError when no
    host is left.
    """
    runs = list(ran)
    while True:
        step = judged(plan, runs, 1 if crew is None else crew.size)
        if isinstance(step, BisectResult):
            return step
        if not go_on():
            return unfinished(plan, runs)
        try:
            for one in _each(plan, folder, step, command, crew):
                if one.interrupted:
                    return unfinished(plan, runs)
                runs.append(one)
                save_state(folder, runs)
                when = _symptom(plan, runs[:-1])
                first = one.symptoms[0]
                answer = None if when is None else symptoms.judge(when, first)
                told(one, symptoms.described(when, first), answer)
        except KeyboardInterrupt:
            return unfinished(plan, runs)


def _each(
    plan: Plan, folder: Path, numbers: Sequence[int], command: Sequence[str], crew: Crew | None
) -> Iterator[Ran]:
    if crew is not None:
        yield from crew.run(numbers)
        return
    for number in numbers:
        yield probe.run(plan, cell_of(plan, number), folder, command)


def judged(plan: Plan, runs: Sequence[Ran], width: int = 1) -> BisectResult | tuple[int, ...]:
    """The result of a search that has come to its end, else the numbers of at most `width` runs
    that come next. Pure."""
    assert plan.bisect is not None
    try:
        when = settled(plan, runs)
    except UsageError as error:
        return msgspec.structs.replace(
            _open_ended(plan, runs, None), interrupted=False, problem=str(error)
        )
    step = next_round(plan, runs, when, width)
    if not isinstance(step, tuple):
        return finished(plan, runs, when, step)
    times = Counter(run.cell for run in runs)
    numbers = []
    for release in step:
        name = plan.cells[release].name
        numbers.append(release + len(plan.cells) * times[name])
        times[name] += 1
    return tuple(numbers)


def joined(plan: Plan, runs: Sequence[Ran], **more: Any) -> tuple[BisectResult, tuple[int, ...]]:
    """The result of runs that others carried out, and the numbers of those that it still needs.

    With a certainty that is a whole round of all releases, for as many hosts. Pure.
    """
    assert plan.bisect is not None
    count = len(plan.cells)
    step = judged(plan, runs)
    if isinstance(step, BisectResult):
        return msgspec.structs.replace(step, **more), ()
    if plan.bisect.certainty is not None:
        times = Counter(run.cell for run in runs)
        step = tuple(at + count * times[cell.name] for at, cell in enumerate(plan.cells))
    result = msgspec.structs.replace(
        unfinished(plan, runs),
        interrupted=False,
        missing=tuple(label(plan, number) for number in step),
        problem=f"{plural(len(step), 'run')} more {'is' if len(step) == 1 else 'are'} needed",
        **more,
    )
    return result, step


def _symptom(plan: Plan, runs: Sequence[Ran]) -> When | None:
    """The symptom that `runs` have settled; None as well where there is none."""
    try:
        return settled(plan, runs)
    except UsageError:
        return None


def settled(plan: Plan, runs: Sequence[Ran]) -> When | None:
    """The symptom, as far as the two ends have shown it; None where more runs of them are needed.

    Raises UsageError when they have shown that there is none. Pure.
    """
    request = plan.bisect
    assert request is not None
    good = [run.symptoms[0] for run in runs if run.cell == plan.cells[0].name]
    bad = [run.symptoms[0] for run in runs if run.cell == plan.cells[-1].name]
    for version, end in ((request.good, good), (request.bad, bad)):
        if end and end[-1].outcome is Outcome.SKIPPED:
            raise UsageError(f"{request.package} {version} cannot be used: {end[-1].summary}")
    asked = None if request.when is None else symptoms.parse(request.when)
    if asked is not None and not asked.open:
        return asked
    if not good or not bad:
        return None
    if asked is not None:
        return symptoms.settled(asked, good, bad)
    found = symptoms.default(good, bad)
    if found is None and request.certainty is None:
        raise UsageError(
            f"{request.package} {request.good} and {request.bad} show the same: "
            f"{bad[0].summary}; name a symptom with --when, or add --certainty 95% if it comes "
            "now and then"
        )
    return found


def next_round(plan: Plan, runs: Sequence[Ran], when: When | None, width: int = 1) -> search.Round:
    """The next releases to run, at most `width`, or the answer. Pure."""
    assert plan.bisect is not None
    count, certainty = len(plan.cells), plan.bisect.certainty
    if when is None:
        return _ends_without_symptom(plan, runs, certainty, width)
    number = {cell.name: at for at, cell in enumerate(plan.cells)}
    if certainty is None and symptoms.is_time(when):
        times = [(number[run.cell], run.symptoms[0]) for run in runs]
        return timed.next_round(count, times, when, width)
    seen = [(number[run.cell], symptoms.judge(when, run.symptoms[0])) for run in runs]
    return search.next_round(count, seen, certainty, width)


def _ends_without_symptom(
    plan: Plan, runs: Sequence[Ran], certainty: float | None, width: int
) -> search.Round:
    """The round as long as the ends have shown no difference: run them, the bad one first."""
    last = len(plan.cells) - 1
    names = [run.cell for run in runs]
    ends = [end for end in (last, 0) if plan.cells[end].name not in names][:width]
    if ends and certainty is None:
        known = [at for at, cell in enumerate(plan.cells) if cell.name in names]
        return (*ends, *search.spread(0, last, known, width - len(ends)))
    if ends:
        return tuple((ends + [last] * width)[:width])
    assert certainty is not None
    left = search.runs_for(search.RAREST, certainty) - names.count(plan.cells[last].name)
    return (last,) * min(left, width) if left > 0 else Problem.NOT_SHOWN


def finished(
    plan: Plan, runs: Sequence[Ran], when: When | None, step: Answer | Problem
) -> BisectResult:
    """The result of a search that came to its end. Pure."""
    result = msgspec.structs.replace(_open_ended(plan, runs, when), interrupted=False)
    request, versions = plan.bisect, result.releases
    assert request is not None
    if isinstance(step, Problem):
        return msgspec.structs.replace(result, problem=_problem(plan, runs, when, step))
    absent, shown = versions[step.absent], versions[step.shown]
    names = (
        {"first_good": absent, "last_bad": shown}
        if request.mends
        else {"first_bad": shown, "last_good": absent}
    )
    inside = versions[step.absent + 1 : step.shown]
    return msgspec.structs.replace(
        result,
        found=step.exact,
        change="mended" if request.mends else "broke",
        between=inside[::-1] if request.mends else inside,
        sure=step.sure,
        **names,
    )


def unfinished(plan: Plan, runs: Sequence[Ran]) -> BisectResult:
    """The result of a search that was interrupted. Pure."""
    return _open_ended(plan, runs, _symptom(plan, runs))


def _open_ended(plan: Plan, runs: Sequence[Ran], when: When | None) -> BisectResult:
    request = plan.bisect
    assert request is not None
    answers = [] if when is None else [symptoms.judge(when, run.symptoms[0]) for run in runs]
    return BisectResult(
        harness_version=plan.harness_version,
        package=request.package,
        good=request.good,
        bad=request.bad,
        when=None if when is None else str(when),
        releases=tuple(cell.packages[request.package] for cell in plan.cells),
        runs=tuple(runs),
        seen=tuple(answer.value for answer in answers),
        interrupted=True,
    )


def _problem(plan: Plan, runs: Sequence[Ran], when: When | None, problem: Problem) -> str:
    """The sentence for a search without an answer, and what to do about it."""
    request = plan.bisect
    assert request is not None
    good, bad = (f"{request.package} {end}" for end in (request.good, request.bad))
    ends = {end: [r for r in runs if r.cell == plan.cells[end].name] for end in (0, -1)}
    if problem is Problem.NOISE:
        return (
            f"the times of one release differ as much as those of two ({when}): try again on a "
            "machine with nothing else to do, or with longer runs (--steps)"
        )
    if problem is Problem.NOT_SHOWN:
        tries = len(ends[-1])
        if request.certainty is None:
            return (
                f"{bad} does not show it ({when}): {ends[-1][-1].symptoms[0].summary}; add "
                "--certainty 95% if it comes now and then"
            )
        return f"{bad} did not show it in {tries} runs; name another symptom with --when"
    if problem is Problem.SHOWN_AT_GOOD:
        return f"{good} shows it too ({when}); give another release for --good"
    end, name = (-1, bad) if problem is Problem.BAD_UNUSABLE else (0, good)
    return f"{name} cannot be used: {ends[end][-1].symptoms[0].summary}"


def ends(result: BisectResult) -> tuple[str, str]:
    """The two releases of an answer, the older one first. Pure."""
    old = result.last_good or result.last_bad
    new = result.first_bad or result.first_good
    assert old is not None
    assert new is not None
    return old, new


def matches(plan: Plan, result: BisectResult, folder: Path) -> tuple[KnownIssueMatch, ...]:
    """The known issues in the runs of the bad one of the two releases of an answer, each once.

    A run that cannot be read any more has none.
    """
    bad = result.first_bad or result.last_bad
    cells = {cell.name for cell in plan.cells if cell.packages[result.package] == bad}
    found: dict[str, KnownIssueMatch] = {}
    for ran, answer in zip(result.runs, result.seen, strict=True):
        if ran.cell not in cells or ran.run is None or answer != Seen.SHOWN.value:
            continue
        try:
            run = runjson.read(folder / ran.run)
        except UsageError:
            continue
        for match in (match for one in run.results for match in one.known_issues):
            found.setdefault(match.id, match)
    return tuple(found.values())


def sentences(plan: Plan, result: BisectResult) -> list[str]:
    """The answer in words, for people. Pure."""
    cells = {cell.packages[result.package]: cell.name for cell in plan.cells}
    old, new = ends(result)
    sure = "" if result.sure is None else f" ({percent(result.sure)} sure)"
    lines = [f"{result.package} {new} {result.change} it{sure}: {result.when}"]
    if result.between:
        lines = [
            f"{result.package} {new}, or one of {', '.join(result.between)}, {result.change} it"
            f"{sure}: those between cannot be used"
        ]
    titles = ("last good", "first bad") if result.change == "broke" else ("last bad", "first good")
    for title, version in zip(titles, (old, new), strict=True):
        runs = [run for run in result.runs if run.cell == cells[version]]
        last = runs[-1]
        times = f", {plural(len(runs), 'run')}" if len(runs) > 1 else ""
        lines.append(f"  {title:<10} {version:<10} {last.symptoms[0].summary}{times}; {last.run}")
    if result.changes:
        lines.append(f"changes: {result.changes}")
    for match in result.known_issues:
        lines.append(f"known issue: {known_issues.describe(match)}")
        lines += [f"  {url}"] if (url := known_issues.address(match)) else []
    return lines


def address(metadata: Sequence[tuple[str, str]], old: str, new: str) -> str | None:
    """The address of the changes between two releases, from a package's own metadata. Pure.

    `metadata` are pairs of label and address. A repository on GitHub can compare two tags; else the
    change log or the home page is all that is known.
    """
    pages = {label.lower().replace(" ", ""): url.rstrip("/") for label, url in metadata}
    for url in pages.values():
        parts = url.split("/")
        if len(parts) >= 5 and parts[2] == "github.com" and parts[3] != "sponsors":
            return f"{'/'.join(parts[:5])}/compare/v{old}...v{new}"
    known = ("changelog", "changes", "releasenotes", "homepage", "home-page")
    return next((pages[label] for label in known if label in pages), None)
