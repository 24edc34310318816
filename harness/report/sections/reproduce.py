"""The section on how to reproduce the subject of a report: files and commands."""

from __future__ import annotations

import posixpath
import shlex

from harness.errors import UsageError
from harness.model import ScenarioInfo
from harness.report import repro, screen
from harness.report.input import Group, ReportInput, groups, subject
from harness.report.sections.attached import attachments
from harness.report.text import cell, code, fence, line
from harness.scenario.load import apply

FILE = "repro.py"
"""The name of the file that runs alone, in the folder of the run."""
TITLE = "## How to reproduce"


def reproduce(data: ReportInput) -> str:
    """The command, and the file that it needs; empty for a process that was attached to."""
    group = _about(data)
    if group is None or group.info is None or any(map(attachments, group.results)):
        return ""
    command = fence(line(shlex.join(_words(data, group.info)), 4_000), "sh")
    if group.info.command is not None or data.run.settings is None:
        return f"{TITLE}\n\n{command}"
    try:
        script(data, group)
        settings = apply(data.run.settings, group.info)
    except (ValueError, UsageError) as error:
        return f"{TITLE}\n\n{command}\n\nAs one file it cannot be shown: {cell(str(error))}."
    alone = fence(repro.command(settings), "sh")
    return (
        f"{TITLE}\n\nThe file {code(FILE)} beside this report runs without the harness:\n\n{alone}"
        f"\n\nWith the harness, and the code below:\n\n{command}"
    )


def _about(data: ReportInput) -> Group | None:
    """The subject of the report; None where all is well, and nothing need be reproduced."""
    group = subject(groups(data.run))
    well = group is None or not screen.of_run(data.run, group.worst).rows()
    return None if well else group


def _words(data: ReportInput, info: ScenarioInfo) -> tuple[str, ...]:
    """The command, with the name of the scenario's file in place of its path: that is its owner's.

    A shipped one needs no file.
    """
    shipped = repro.shipped(info)
    short = info.name if shipped else posixpath.basename(info.path)
    return tuple(short if info.path and word == info.path else word for word in data.run.command)


def file(data: ReportInput) -> str | None:
    """The text of the file that runs alone; None where there is none."""
    group = _about(data)
    if group is None or group.info is None or group.info.command or data.run.settings is None:
        return None
    try:
        return script(data, group)
    except (ValueError, UsageError):
        return None


def script(data: ReportInput, group: Group) -> str:
    """The text of that file.

    Raises ValueError or UsageError for a scenario that cannot be shown as one file.
    """
    assert group.info is not None
    assert data.run.settings is not None
    settings = apply(data.run.settings, group.info)
    return repro.script(group.info, settings, data.siblings(group))
