"""The texts and tables of the page: plain text, which the template escapes."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from harness import stats
from harness.analysis.headline import hang
from harness.model import Finding, Outcome, RunResult, ScenarioResult, Severity
from harness.report import screen, summary
from harness.report.input import LOGS, WORST_FIRST, Group, ReportInput
from harness.report.sections import origin, scenario, verdicts
from harness.report.sections.environment import facts
from harness.report.sections.known_issues import by_issue, sentence
from harness.report.text import NOTHING, line
from harness.text.known_issues import address
from harness.text.units import duration, plural

SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True)
class KnownRow:
    """A known issue, and the runs that show it."""

    sentence: str
    id: str
    url: str | None
    runs: str
    seen: str


@dataclass(frozen=True)
class Badge:
    kind: str
    """An outcome, a severity or a verdict: what the style sheet colors it by."""
    text: str


@dataclass(frozen=True)
class FirstScreen:
    """The answers that stand above all else."""

    title: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Each question with its lines."""
    chain: tuple[hang.Link, ...]
    ring: bool
    """True if the last of the chain waits for the first."""


@dataclass(frozen=True)
class ScenarioRow:
    """A scenario in the table of scenarios."""

    name: str
    summary: str
    outcomes: tuple[Badge, ...]
    where: str
    steps: str
    time: str
    loss: str
    memory: str
    findings: tuple[Badge, ...]


@dataclass(frozen=True)
class FindingRow:
    """A finding, with how many of a scenario's runs have it."""

    severity: Severity
    expected: bool
    scenario: str
    code: str
    summary: str
    runs: str
    evidence: Mapping[str, str]


@dataclass(frozen=True)
class Detail:
    """The parts of a scenario that the page shows on request."""

    name: str
    outcome: Outcome
    summary: str
    settings: str
    reason: str
    figures: tuple[tuple[str, str], ...]
    cause: Mapping[str, str]
    origin: tuple[tuple[str, str], ...]
    logs: Mapping[str, str]
    code: str


def about(run: RunResult) -> list[str]:
    """Short lines on what ran, and on which machine."""
    versions, settings = run.environment.versions, run.settings
    given = [shlex.join(info.command.argv) for info in run.scenarios if info.command]
    if settings:
        what = f"{verdicts.model(settings.model)} with {settings.optimizer}"
    else:
        what = line(given[0], 200) if given else "nothing"
        what += f" and {len(given) - 1} more" if len(given) > 1 else ""
    return [
        what,
        f"mlx {versions.get('mlx') or 'not known'}",
        run.environment.device or "device not known",
        run.environment.platform,
        line(run.started, 40),
    ]


def known_issues(run: RunResult) -> list[KnownRow]:
    """The public bugs and pitfalls that the results show."""
    return [
        KnownRow(
            sentence=line(sentence(match), 700),
            id=line(match.id, 40),
            url=address(match),
            runs=line(", ".join(names), 240),
            seen=line(match.seen, 160),
        )
        for match, names in by_issue(run)
    ]


def first(run: RunResult, group: Group | None) -> FirstScreen | None:
    """The headline of the run that the page is about; None where all is well."""
    if group is None:
        return None
    made = screen.of_run(run, group.worst)
    rows = tuple(
        (screen.LABELS[name], tuple(line(text, screen.LIMIT) for text in lines))
        for name, lines in made.rows()
    )
    if not rows:
        return None
    # The page's title says it of the only run.
    one = len(run.results) == 1
    title = "What to know first" if one else f"{group.label(group.worst)}: {made.what}"
    return FirstScreen(
        line(title, screen.LIMIT), rows, made.chain, any(link.ring for link in made.chain)
    )


def row(group: Group) -> ScenarioRow:
    results = group.results
    times = [r.metrics.step_s.median for r in results if r.metrics.step_s]
    # What is ordinary is told below the table.
    every = [f for r in results for f in r.findings if f.severity is not Severity.INFO]
    first = {f.code: f for f in sorted(every, key=_rank, reverse=True)}
    return ScenarioRow(
        name=group.name,
        summary=group.info.summary if group.info else "",
        outcomes=_outcomes(results),
        where=_where(group),
        steps=verdicts.steps(results),
        time=duration(stats.median(times)) if times else NOTHING,
        loss=verdicts.loss(results),
        memory=verdicts.memory(results),
        findings=tuple(
            Badge("expected" if f.expected else f.severity.value, line(f.code, 40))
            for f in sorted(first.values(), key=_rank)
        ),
    )


def _rank(finding: Finding) -> tuple[bool, int]:
    return finding.expected, SEVERITIES.index(finding.severity)


def _outcomes(results: tuple[ScenarioResult, ...]) -> tuple[Badge, ...]:
    counts = Counter(result.outcome for result in results)
    return tuple(
        Badge(o.value, f"{counts[o]}/{len(results)} {o.value}" if len(results) > 1 else o.value)
        for o in WORST_FIRST
        if counts[o]
    )


def _where(group: Group) -> str:
    """The place and reason of the worst run's end, if it did not end well."""
    worst = group.worst
    if worst.outcome is Outcome.COMPLETED:
        return ""
    text = summary.verdict(worst).removeprefix(worst.outcome.value).lstrip(": ")
    return text or line(worst.reason or "", 240)


def finding_rows(groups: tuple[Group, ...]) -> list[FindingRow]:
    """The findings, each once a scenario, the worst first and those that were expected last."""
    made = []
    for group in groups:
        of_runs = Counter(
            chain.from_iterable({f.code for f in result.findings} for result in group.results)
        )
        first: dict[str, Finding] = {}
        for result in group.results:
            for finding in result.findings:
                first.setdefault(finding.code, finding)
        many = len(group.results)
        made += [
            FindingRow(
                f.severity,
                f.expected,
                group.name,
                f.code,
                f.summary,
                f"in {of_runs[f.code]} of {plural(many, 'run')}" if many > 1 else "",
                {key: line(scenario.brief(value, key), 400) for key, value in f.evidence.items()},
            )
            for f in first.values()
        ]
    return sorted(made, key=lambda finding: (finding.expected, SEVERITIES.index(finding.severity)))


def detail(group: Group, data: ReportInput) -> Detail:
    worst, info = group.worst, group.info
    own = info.settings if info else {}
    cause = worst.cause.evidence if worst.cause else {}
    tails = data.log_tails(worst)
    return Detail(
        name=group.name,
        outcome=worst.outcome,
        summary=info.summary if info else "",
        settings=", ".join(f"{name} = {value!r}" for name, value in own.items()),
        reason=(worst.cause and worst.cause.summary) or worst.reason or "",
        figures=tuple(
            (title, show(value))
            for title, figure, show in scenario.FIGURES
            if (value := figure(worst)) is not None
        ),
        cause={
            key: line(scenario.brief(value, key), 2000)
            for key, value in cause.items()
            if value is not None
        },
        origin=_origin(worst),
        logs={name: text for name in LOGS if (text := scenario.last_lines(tails.get(name, "")))},
        code=scenario.without_docstring(info.source).strip("\n") if info else "",
    )


def _origin(result: ScenarioResult) -> tuple[tuple[str, str], ...]:
    """The facts of where its numbers stopped being finite, what they say first."""
    if result.origin is None:
        return ()
    told = [("what", result.origin.summary), *origin.rows(result.origin)]
    return tuple((title, line(text, 600)) for title, text in told)


__all__ = [
    "Badge",
    "Detail",
    "FindingRow",
    "ScenarioRow",
    "about",
    "detail",
    "facts",
    "row",
]
