"""What GitHub Actions shows of a run: a step's summary, and annotations at the scenarios. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from harness.analysis.controls import Row
from harness.model import Outcome, RunResult, ScenarioInfo, ScenarioResult, Severity
from harness.report.text import line
from harness.text import phrases
from harness.text.units import plural

SUMMARY = 1 << 20
"""Bytes that a step's summary may have; GitHub shows nothing of a longer one."""
MESSAGE = 1_000
MOST = 10
"""Annotations of a kind that GitHub shows of one step."""
_CUT = "\n\n*Cut short: a summary has at most 1 MiB. report.md has all of it.*\n"
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")


def summary(report: str, room: int) -> str:
    """`report`, cut between two lines so that it has at most `room` bytes; empty if none fits."""
    if len(report.encode()) <= room:
        return report
    kept: list[str] = []
    closing: list[str] = []
    best = 0
    size = len(_CUT.encode())
    for text in report.splitlines(keepends=True):
        size += len(text.encode())
        if size > room:
            break
        kept.append(text)
        _follow(text, closing)
        if size + sum(len(end.encode()) + 2 for end in closing) <= room:
            best = len(kept)
    closing.clear()
    for text in kept[:best]:
        _follow(text, closing)
    ends = "".join(f"\n{end}\n" for end in reversed(closing))
    return "".join(kept[:best]) + ends + _CUT if best else ""


def _follow(text: str, closing: list[str]) -> None:
    """Keep what must be written to end the blocks that are open after this line."""
    fence = _FENCE.match(text)
    inside = bool(closing) and closing[-1] != "</details>"
    if inside:
        if fence and text.strip().startswith(closing[-1]) and not text.strip(" `~\n"):
            closing.pop()
    elif fence:
        closing.append(fence[1])
    elif text.startswith("<details"):
        closing.append("</details>")
    elif text.startswith("</details>") and closing:
        closing.pop()


def commands(run: RunResult, failures: Sequence[Outcome], root: str = "") -> Iterator[str]:
    """A workflow command for each run that failed, and for each that completed with a fault.

    `run` is as it is published: a scenario's file is shown when it lies in the project, which
    itself lies at `root` in the repository.
    """
    failed = [one for one in run.results if one.outcome in failures]
    faulty = [one for one in run.results if one not in failed and _faults(one)]
    yield from _annotations("error", run, [(one.scenario, *_told(one)) for one in failed], root)
    yield from _annotations("warning", run, [(one.scenario, *_told(one)) for one in faulty], root)


def missed(run: RunResult, rows: Sequence[Row], root: str = "") -> Iterator[str]:
    """A workflow command for each control that got another verdict than it has to."""
    told = [
        (row.control, f"{_named(row.control, row.repeat)}: {row.got}", "; ".join(row.wrong))
        for row in rows
        if row.ok is False
    ]
    yield from _annotations("error", run, told, root)


def _annotations(
    kind: str, run: RunResult, told: Sequence[tuple[str, str, str]], root: str
) -> Iterator[str]:
    """Of each the scenario, a title and a message; those that GitHub would not show are counted."""
    infos = {info.name: info for info in run.scenarios}
    # The last one that is shown says how many are not.
    first = told if len(told) <= MOST else told[: MOST - 1]
    for scenario, title, message in first:
        yield _command(kind, _place(infos.get(scenario), root), title, line(message, MESSAGE))
    rest = len(told) - len(first)
    if rest:
        yield _command(kind, {}, "harness", f"and {plural(rest, 'more run')}: see report.md")


def _faults(result: ScenarioResult) -> list[str]:
    return [
        one.summary
        for one in result.findings
        if one.severity is Severity.ERROR and not one.expected
    ]


def _told(result: ScenarioResult) -> tuple[str, str]:
    """Title and message."""
    told = phrases.why(result) or "; ".join(_faults(result)) or result.outcome.value
    return f"{_named(result.scenario, result.repeat)}: {result.outcome.value}", told


def _named(scenario: str, repeat: int) -> str:
    return scenario + (f" #{repeat}" if repeat else "")


def _place(info: ScenarioInfo | None, root: str) -> dict[str, str]:
    """Nothing for a file that lies outside the project, or was given by such a path."""
    if info is None:
        return {}
    path = posixpath.normpath(info.path.removeprefix("<project>/"))
    if path.startswith(("/", "~", "<", "..")) or path == ".":
        return {}
    before = info.source.partition("def make_step")[0]
    file = posixpath.normpath(posixpath.join(root, path))
    return {"file": file, "line": str(before.count("\n") + 1)}


def _command(kind: str, place: dict[str, str], title: str, message: str) -> str:
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    comma = "," if properties else ""
    return f"::{kind} {properties}{comma}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
