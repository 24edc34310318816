"""Results as a person sees them in a terminal, a test's failure or a notebook. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from urllib.parse import quote

from harness.analysis import headline
from harness.model import Finding, Located, Outcome, ScenarioResult, Severity
from harness.report.text import NOTHING, line
from harness.text.known_issues import describe
from harness.text.units import duration, number, plural, size

Rows = Sequence[tuple[str, str]]
TITLES = ("scenario", "outcome", "steps", "median step", "loss", "findings")


def verdict(result: ScenarioResult) -> str:
    """Outcome, place and cause in some words: `hung in step 3, eval: deadlock (proven)`."""
    text: str = result.outcome.value
    if result.outcome in (Outcome.HUNG, Outcome.CRASHED, Outcome.UNFINISHED):
        text += f" in {at}" if (at := place(result)) else ""
    if result.cause is not None:
        proven = " (proven)" if result.cause.proven else ""
        return f"{text}: {line(result.cause.code, 40)}{proven}"
    # The place of an exception stands in its reason too.
    reason = (
        (result.reason or "")
        .removeprefix(f"{text} ")
        .removesuffix(f" (in step {result.last_step}, phase {result.last_phase})")
    )
    if result.origin is not None and reason.startswith("at step "):
        return f"{text} {line(reason, 240)}"
    return text + (f": {line(reason, 240)}" if reason else "")


def place(result: ScenarioResult) -> str:
    """The last place: `step 3, eval`; empty when the run had not begun."""
    parts = [f"step {result.last_step}"] if result.last_step is not None else []
    parts += [line(result.last_phase, 40)] if result.last_phase else []
    return ", ".join(parts)


def replay(result: ScenarioResult) -> str:
    """The result of its replay, unless its reason has that; empty where there was none."""
    found = result.origin
    told = result.outcome is Outcome.DIVERGED and found and found.status is Located.LOCATED
    return "" if found is None or told else line(found.summary, 400)


def wait_site(result: ScenarioResult) -> str:
    """The wait site of a hung run; empty without stacks."""
    return line(str(result.cause.evidence.get("wait_site", "")), 400) if result.cause else ""


def format_finding(finding: Finding) -> str:
    expected = " (expected)" if finding.expected else ""
    return (
        f"{finding.severity.value} {line(finding.code, 40)}{expected}: {line(finding.summary, 240)}"
    )


def steps(result: ScenarioResult) -> str:
    if result.steps_requested is None:
        return plural(result.steps_completed, "step")
    return f"{result.steps_completed} of {plural(result.steps_requested, 'step')}"


def loss(result: ScenarioResult) -> str:
    losses = result.metrics.loss
    return f"{number(losses.first)} → {number(losses.last)}" if losses else NOTHING


def rows(result: ScenarioResult) -> Rows:
    """The known facts of one run, as pairs of title and text."""
    times, memory = result.metrics.step_s, result.metrics.memory
    pairs = [
        ("outcome", verdict(result)),
        *(
            (name, "; ".join(line(text, 240) for text in lines))
            for name, lines in headline.of(result).rows()
        ),
        *(
            ("known issue", line(f"{describe(match)} {match.url}", 700))
            for match in result.known_issues
        ),
        ("replay", replay(result)),
        ("steps", steps(result)),
        ("step time", f"median {duration(times.median)}, first {duration(times.first)}, "
         f"p99 {duration(times.p99)}, max {duration(times.max)}" if times else ""),
        ("loss", loss(result) if result.metrics.loss else ""),
        ("active memory", size(memory.active_peak) if memory.active_peak is not None else ""),
        ("RSS", size(memory.rss_peak) if memory.rss_peak is not None else ""),
        *(("finding", format_finding(finding)) for finding in result.findings),
        ("wall", duration(result.wall_s)),
    ]  # fmt: skip
    return [(title, text) for title, text in pairs if text]


def name(result: ScenarioResult) -> str:
    return line(result.scenario, 60) + (f" #{result.repeat}" if result.repeat else "")


def row(result: ScenarioResult) -> tuple[str, ...]:
    """One run as a line of a table under TITLES."""
    times = result.metrics.step_s
    codes = [f.code for f in result.findings if f.severity is not Severity.INFO and not f.expected]
    return (
        name(result),
        verdict(result),
        steps(result),
        duration(times.median) if times else NOTHING,
        loss(result),
        line(", ".join(dict.fromkeys(codes)), 120),
    )


def as_text(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells in columns."""
    every = [tuple(cells) for cells in lines]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    padded = ("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in every)
    return "\n".join(padded)


def as_html(
    titles: Sequence[str],
    lines: Iterable[Sequence[str]],
    below: str = "",
    link: PurePath | None = None,
) -> str:
    """A table that any page can hold; `titles` may be empty.

    `link` is the path of report.md, beside which the page lies.
    """

    def cells(tag: str, texts: Sequence[str]) -> str:
        style = ' style="text-align: left"'
        return "<tr>" + "".join(f"<{tag}{style}>{html.escape(t)}</{tag}>" for t in texts) + "</tr>"

    head = f"<thead>{cells('th', titles)}</thead>" if titles else ""
    body = "".join(cells("td", texts) for texts in lines)
    after = f"<p>{html.escape(below)}</p>" if below else ""
    if link is not None:
        page = html.escape(quote(link.with_name("report.html").as_posix()))
        after += f'<p>report: <a href="{page}" target="_blank">{html.escape(str(link))}</a></p>'
    return f"<table>{head}<tbody>{body}</tbody></table>{after}"
