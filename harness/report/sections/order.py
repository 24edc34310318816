"""The order of the sections of report.md; `parts` has that of a scenario's own section."""

from __future__ import annotations

from collections.abc import Callable

from harness.report.input import ReportInput
from harness.report.sections.attached import attached
from harness.report.sections.environment import environment
from harness.report.sections.first import first_screen
from harness.report.sections.known_issues import known_issues
from harness.report.sections.reproduce import reproduce
from harness.report.sections.together import diagnosis, differences, ladder, repeats
from harness.report.sections.verdicts import verdicts

Section = Callable[[ReportInput], str]

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
