"""The stacks of a run as text: of each thread the calls nearest to what it waits in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

from harness.model import Outcome, ScenarioResult
from harness.report import stacks
from harness.report.input import Group, ReportInput, groups, subject
from harness.report.text import details, fence, line

CALLS = 10
"""The most calls of a thread; consecutive library calls count once."""
LINES = 100
FIRST = 48
"""Lines of those that stand at the beginning of a report."""
shortened = partial(line, limit=160)


def excerpt(group: Group, data: ReportInput) -> str:
    """The stacks of the scenario's worst run, folded; empty when none were taken.

    Those of the report's subject stand above all, unless they are too long for that.
    """
    text = listed(group, group.worst, data, LINES)
    if stands_first(group, data) and text == listed(group, group.worst, data, FIRST):
        return ""
    return details(f"Stacks of {group.name}, the innermost call first", text) if text else ""


def stands_first(group: Group, data: ReportInput) -> bool:
    """True for the hang that the report is about."""
    about = subject(groups(data.run))
    return about is not None and about.name == group.name and group.worst.outcome is Outcome.HUNG


def listed(group: Group, result: ScenarioResult, data: ReportInput, limit: int) -> str:
    """At most `limit` lines of the stacks of one run, in a fence."""
    if not data.stacks(result):
        return ""
    columns = stacks.of(group, [result], data)
    texts = (text for column in columns for text in _column(column, named=bool(result.ranks)))
    lines = list(islice(texts, limit + 1))
    if not lines:
        return ""
    more = ["..."] if len(lines) > limit else []
    return fence("\n".join([*lines[:limit], *more]), "text")


def _column(column: stacks.Column, named: bool) -> Iterator[str]:
    """`named`: it stands for the ranks that wait at one site, and not for the whole worker."""
    if named:
        blame = " (to blame)" if column.culprit else ""
        yield shortened(f"{column.name}{blame}: {column.site or 'no wait site'}")
    for process in column.processes:
        yield shortened(process.title)
        yield from map(shortened, process.text.splitlines())
        for thread in process.threads:
            yield f"  {shortened(thread.title)}"
            for call in thread.calls[:CALLS]:
                yield f"    {shortened(call.function)}  {shortened(call.place)}".rstrip()
                if call.source:
                    yield f"      {shortened(call.source)}"
            if len(thread.calls) > CALLS:
                yield f"    and {len(thread.calls) - CALLS} more"
