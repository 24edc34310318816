"""One file of coverage, of those that tests/measured.py makes of each process."""

from __future__ import annotations

from pathlib import Path


def gather(root: Path) -> None:
    """Put the lines of all processes that have ended into one file, and take theirs away."""
    lines: dict[str, set[int]] = {}
    for file in root.glob(".coverage-lines.*"):
        for line in file.read_text().splitlines():
            name, *numbers = line.split(" ")
            lines.setdefault(name, set()).update(map(int, numbers))
        file.unlink()
    if lines:
        import coverage  # of all test runs, few measure

        data = coverage.CoverageData(str(root / ".coverage"), suffix="processes")
        data.add_lines(lines)
        data.write()
