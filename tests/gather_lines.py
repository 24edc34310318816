"""One file of coverage, of those that tests/measured.py makes of each process."""

from __future__ import annotations

import json
from pathlib import Path


def gather(root: Path) -> None:
    """Put the lines of all processes that have ended into one file, and take theirs away."""
    lines: dict[str, set[int]] = {}
    for file in root.glob(".coverage-lines.*"):
        for name, found in json.loads(file.read_text()).items():
            lines.setdefault(name, set()).update(found)
        file.unlink()
    if lines:
        import coverage  # of all test runs, few measure

        data = coverage.CoverageData(str(root / ".coverage"), suffix="processes")
        data.add_lines(lines)
        data.write()
