"""Output for GitHub Actions: the summary of a step, and annotations at scenarios. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from harness.analysis import failing
from harness.analysis.controls import ControlResult
from harness.analysis.failing import FailOn
from harness.model import RunResult, ScenarioInfo, ScenarioResult
from harness.report import screen
from harness.report.text import line
from harness.text import late
from harness.text.units import plural

SUMMARY = 1 << 20
"""Bytes that a step's summary may have; GitHub shows nothing of a longer one."""
MESSAGE = 1_000
MOST = 10
"""Annotations of a kind that GitHub shows of one step."""
_CUT = "\n\n*Cut short: a summary has at most 1 MiB. report.md has all of it.*\n"
_FENCE = late.compile(r"^ {0,3}(`{3,}|~{3,})")


def summary(report: str, room: int) -> str:
    """`report`, cut between two lines so that it has at most `room` bytes; empty if none fits."""
    if len(report.encode()) <= room:
        return report
    lines: list[str] = []
    closing: list[str] = []
    best = 0
    size = len(_CUT.encode())
    for text in report.splitlines(keepends=True):
        size += len(text.encode())
        if size > room:
            break
        lines.append(text)
        _follow(text, closing)
        if size + sum(len(end.encode()) + 2 for end in closing) <= room:
            best = len(lines)
    closing.clear()
    for text in lines[:best]:
        _follow(text, closing)
    ends = "".join(f"\n{end}\n" for end in reversed(closing))
    return "".join(lines[:best]) + ends + _CUT if best else ""


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


def commands(run: RunResult, fail_on: FailOn, root: str = "") -> Iterator[str]:
    """A workflow command for each run that failed by `fail_on`, and for each that has a fault.

    `run` is as it is published: a scenario's file is shown when it lies in the project, which
    itself lies at `root` in the repository.
    """
    failed = [result for result in run.results if failing.failed(result, fail_on)]
    faulty = [
        result
        for result in run.results
        if result not in failed and failing.findings(result, failing.DEFAULT)
    ]
    for kind, results in (("error", failed), ("warning", faulty)):
        told = [(result.scenario, *_message(run, result, fail_on)) for result in results]
        yield from _annotations(kind, run, told, root)


def missed(run: RunResult, rows: Sequence[ControlResult], root: str = "") -> Iterator[str]:
    """A workflow command for each control that got another verdict than it has to."""
    lines = [
        (row.control, f"{_named(row.control, row.repeat)}: {row.got}", "; ".join(row.wrong))
        for row in rows
        if row.ok is False
    ]
    yield from _annotations("error", run, lines, root)


def _annotations(
    kind: str, run: RunResult, messages: Sequence[tuple[str, str, str]], root: str
) -> Iterator[str]:
    """Annotations of scenario, title and message; those above GitHub's limit are counted."""
    infos = {info.name: info for info in run.scenarios}
    # The last one that is shown says how many are not.
    first = messages if len(messages) <= MOST else messages[: MOST - 1]
    for scenario, title, message in first:
        text = "\n".join(line(one, MESSAGE) for one in message.splitlines())
        yield _command(kind, _place(infos.get(scenario), root, text), title, text[:MESSAGE])
    rest = len(messages) - len(first)
    if rest:
        yield _command(kind, {}, "harness", f"and {plural(rest, 'more run')}: see report.md")


def _message(run: RunResult, result: ScenarioResult, fail_on: FailOn) -> tuple[str, str]:
    """Title and message: the headline, and the findings that count where it does not tell them."""
    lines = [*screen.as_lines(screen.of_run(run, result))]
    for finding in failing.findings(result, fail_on) or failing.findings(result):
        told = line(finding.summary, MESSAGE)
        if not any(told in one for one in lines):
            lines.append(told)
    title = f"{_named(result.scenario, result.repeat)}: {result.outcome.value}"
    return title, "\n".join(lines)


def _named(scenario: str, repeat: int) -> str:
    return scenario + (f" #{repeat}" if repeat else "")


def _place(info: ScenarioInfo | None, root: str, text: str) -> dict[str, str]:
    """The scenario's file, and the first line of it that `text` names, or that of its step.

    Nothing for a file that lies outside the project, or was given by such a path.
    """
    if info is None:
        return {}
    path = posixpath.normpath(info.path.removeprefix("<project>/"))
    if path.startswith(("/", "~", "<", "..")) or path == ".":
        return {}
    named = re.search(rf"(?<![\w./-]){re.escape(posixpath.basename(path))}:(\d+)", text)
    before = info.source.partition("def make_step")[0]
    number = named[1] if named is not None else str(before.count("\n") + 1)
    file = posixpath.normpath(posixpath.join(root, path))
    return {"file": file, "line": number}


def _command(kind: str, place: dict[str, str], title: str, message: str) -> str:
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    comma = "," if properties else ""
    return f"::{kind} {properties}{comma}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
