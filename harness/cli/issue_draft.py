"""The part of `harness report --issue` that writes the draft of an issue."""

from __future__ import annotations

from pathlib import Path

from harness.report import files, issue
from harness.report.input import load_run

FILE = "issue.md"


def write(folder: Path, full: bool) -> str:
    """Write issue.md of the run in `folder`, and return its text."""
    draft = issue.draft(load_run(folder, full))
    files.replace(folder / FILE, draft.encode())
    return draft
