"""The stacks of a run as text: of each thread the calls nearest to what it waits in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice

from harness.report import stacks
from harness.report.input import Group, ReportInput
from harness.report.text import details, fence, line

CALLS = 10
"""The most calls of a thread; consecutive library calls count once."""
LINES = 100
shortened = partial(line, limit=160)


def excerpt(group: Group, data: ReportInput) -> str:
    """The stacks of the scenario's worst run; empty when none were taken."""
    result = group.worst
    if not data.stacks(result):
        return ""
    columns = stacks.of(group, [result], data)
    texts = (text for column in columns for text in _column(column, named=bool(result.ranks)))
    lines = list(islice(texts, LINES + 1))
    if not lines:
        return ""
    more = ["..."] if len(lines) > LINES else []
    text = "\n".join([*lines[:LINES], *more])
    return details(f"Stacks of {group.name}, the innermost call first", fence(text, "text"))


def _column(column: stacks.Column, named: bool) -> Iterator[str]:
    """`named`: it stands for the ranks that wait at one site, and not for the whole worker."""
    if named:
        blame = " (to blame)" if column.culprit else ""
        yield shortened(f"{column.name}{blame}: {column.site or 'no wait site'}")
    for process in column.processes:
        yield shortened(process.title)
        yield from map(shortened, process.text.splitlines())
        alike = Counter(thread.calls for thread in process.threads)
        first = {thread.calls: thread.title for thread in reversed(process.threads)}
        for calls, title in reversed(first.items()):
            others = f" and {alike[calls] - 1} more like it" if alike[calls] > 1 else ""
            yield f"  {shortened(title)}{others}"
            for call in calls[:CALLS]:
                yield f"    {shortened(call.function)}  {shortened(call.place)}".rstrip()
            if len(calls) > CALLS:
                yield f"    and {len(calls) - CALLS} more"
