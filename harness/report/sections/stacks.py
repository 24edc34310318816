"""The stacks of a hang as text: of each thread the calls nearest to what it waits in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

from harness.report import stacks
from harness.report.input import Group, ReportInput
from harness.report.text import details, fence, line

CALLS = 10
"""Of each thread; calls of the C library, the interpreter and the standard library count once."""
LINES = 100
shortened = partial(line, limit=160)


def told(group: Group, data: ReportInput) -> str:
    """The stacks of the scenario's worst run; empty when none were taken."""
    result = group.worst
    if result.cause is None or not data.stacks(result):
        return ""
    columns = stacks.of(group, [result], data)
    lines = list(islice((one for column in columns for one in _column(column)), LINES + 1))
    if not lines:
        return ""
    more = ["..."] if len(lines) > LINES else []
    text = "\n".join([*lines[:LINES], *more])
    return details(f"Stacks of {group.name}, the innermost call first", fence(text, "text"))


def _column(column: stacks.Column) -> Iterator[str]:
    for process in column.processes:
        yield shortened(process.title)
        yield from map(shortened, process.text.splitlines())
        for thread in process.threads:
            yield "  " + shortened(thread.title)
            for call in thread.calls[:CALLS]:
                yield f"    {shortened(call.function)}  {shortened(call.place)}".rstrip()
            if len(thread.calls) > CALLS:
                yield f"    and {len(thread.calls) - CALLS} more"
