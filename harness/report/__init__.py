"""From a run's folder to what people and programs read."""

from __future__ import annotations

from pathlib import Path

from harness.report import files, junit, markdown
from harness.report.input import load_run
from harness.report.sections import reproduce

__all__ = ["write_all"]


def write_all(folder: Path, full: bool = False) -> None:
    """Write every report of the run in `folder`, from what is in the folder alone.

    They are redacted unless everything is asked for in `full`.

    Raises UsageError when there is no readable run.json, OSError when a report cannot be written.
    """
    from harness.report import html  # what only starts and watches need not load jinja2

    data = load_run(folder, full)
    files.replace(folder / "report.md", markdown.render(data).encode())
    files.replace(folder / "report.html", html.render(data).encode())
    files.replace(folder / "junit.xml", junit.render(data.run))
    if (alone := reproduce.file(data)) is not None:
        files.replace(folder / reproduce.FILE, alone.encode())
