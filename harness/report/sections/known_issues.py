"""The section on known issues: the public bugs and pitfalls that the results show."""

from __future__ import annotations

from harness.model import KnownIssueMatch, RunResult
from harness.report.input import ReportInput, groups
from harness.report.text import cell, code
from harness.text.known_issues import address, describe

MOST = 8
"""Issues that the section names."""
NAMES = 4
"""Runs that are named of one issue."""


def known_issues(data: ReportInput) -> str:
    """A line for each issue, with its address and the runs that show it."""
    found = by_issue(data.run)
    lines = [
        f"- {cell(sentence(match), 700)}. {_link(match)}, seen in {_names(names)}: "
        f"{code(match.seen, 160)}"
        for match, names in found[:MOST]
    ]
    more = [f"- and {len(found) - MOST} more, which run.json has"] if found[MOST:] else []
    return "## Known issues\n\n" + "\n".join([*lines, *more]) if lines else ""


def sentence(match: KnownIssueMatch) -> str:
    text = describe(match)
    return f"{text[:1].upper()}{text[1:]}"


def _link(match: KnownIssueMatch) -> str:
    url = address(match)
    return f"[{cell(match.id, 40)}]({url})" if url else cell(match.id, 40)


def by_issue(run: RunResult) -> list[tuple[KnownIssueMatch, list[str]]]:
    """Each issue once, with the labels of the runs that show it."""
    found: dict[str, tuple[KnownIssueMatch, list[str]]] = {}
    for group in groups(run):
        for result in group.results:
            for match in result.known_issues:
                found.setdefault(match.id, (match, []))[1].append(group.label(result))
    return list(found.values())


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMES} more" if names[NAMES:] else ""
    return ", ".join(code(name) for name in names[:NAMES]) + more
