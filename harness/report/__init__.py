"""From a run's folder to what people and programs read."""

from __future__ import annotations

from pathlib import Path

from harness.report import junit, load, markdown

__all__ = ["write_all"]


def write_all(folder: Path) -> None:
    """Write every report of the run in `folder`, from what is in the folder alone.

    Raises UsageError when there is no readable run.json, OSError when a report cannot be written.
    """
    data = load.load(folder)
    (folder / "report.md").write_text(markdown.render(data), encoding="utf-8")
    (folder / "junit.xml").write_bytes(junit.render(data.run))
