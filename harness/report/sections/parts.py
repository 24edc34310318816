"""The parts of a scenario's section of report.md, and the kinds of which some can be left out."""

from __future__ import annotations

from collections.abc import Callable

from harness.report.charts import charts
from harness.report.input import Group, ReportInput
from harness.report.sections import scenario, stacks
from harness.report.sections.origin import origin
from harness.report.sections.ranks import ranks

Part = Callable[[Group, ReportInput], str]

CHART, LOG, CODE, STACKS, COMPLETED, RANKS, EVIDENCE, FAILED = DROPPED = (
    "chart",
    "log tail",
    "code",
    "stacks",
    "section of a completed scenario",
    "ranks",
    "cause",
    "section",
)
"""The kinds of blocks that a too long report leaves out, the first kind first."""

PARTS: tuple[tuple[str, Part], ...] = (
    (FAILED, scenario.numbers),
    (EVIDENCE, scenario.cause),
    (EVIDENCE, origin),
    (RANKS, ranks),
    (STACKS, stacks.excerpt),
    (CHART, charts),
    (CODE, scenario.source),
    (LOG, scenario.log_tail),
)
"""The parts of a scenario's section, in the order in which they are read."""
