"""The order of the sections of report.md, and the kinds of which some can be left out."""

from __future__ import annotations

from collections.abc import Callable

from harness.report.charts import charts
from harness.report.input import Group, ReportInput
from harness.report.sections import scenario, stacks
from harness.report.sections.attached import attached
from harness.report.sections.environment import environment
from harness.report.sections.first import first_screen
from harness.report.sections.known_issues import known_issues
from harness.report.sections.origin import origin
from harness.report.sections.ranks import ranks
from harness.report.sections.reproduce import reproduce
from harness.report.sections.together import diagnosis, differences, ladder, repeats
from harness.report.sections.verdicts import verdicts

Section = Callable[[ReportInput], str]
Part = Callable[[Group, ReportInput], str]

BEFORE: tuple[Section, ...] = (
    first_screen,
    known_issues,
    attached,
    verdicts,
    ladder,
    diagnosis,
    repeats,
    differences,
    reproduce,
)
"""These and AFTER always stay; their tables are bounded, so that together they fit."""
AFTER: tuple[Section, ...] = (environment,)

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
