"""Findings about losses of many kinds of training, made by chance: the false, and the missed.

    python benchmarks/loss_courses.py [--each 100] [--first 100000] [--out FILE.json]

`tests/unit/loss_courses.py` has the kinds. Each course has 20 to 1,000 reads, in full or rounded as
a log prints them. The seeds begin where no test's do. A finding of a healthy course is false if it
is an error or a warning. A loss that left its best level, of 60 reads or more, is missed if neither
`loss_left_best` nor `loss_exploded` tells of it.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))

import loss_courses  # type: ignore[import-not-found]
import records  # type: ignore[import-not-found]

from benchmarks.common import commit, machine, save, table
from harness.analysis import findings
from harness.model import Finding, Severity

LENGTHS = (20, 40, 60, 80, 120, 200, 400, 1000)
LEFT = frozenset(("loss_left_best", "loss_exploded"))


def found(course: Any, seed: int, lengths: tuple[int, ...]) -> tuple[Finding, ...]:
    draw = random.Random(f"{course.__name__} {seed}")
    losses = course(draw, lengths[seed % len(lengths)])
    return findings.find(records.told(losses, decimals=(None, 4, 3)[seed % 3]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--each", type=int, default=100, help="courses of each kind")
    parser.add_argument("--first", type=int, default=100_000, help="the first seed")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.each)
    rows, errors, warnings, missed = [], 0, 0, 0
    for name, course in loss_courses.HEALTHY.items():
        severities = [
            max((f.severity is Severity.ERROR) + (f.severity is not Severity.INFO) for f in told)
            if (told := found(course, seed, LENGTHS))
            else 0
            for seed in seeds
        ]
        rows.append([name, "healthy", str(severities.count(2)), str(severities.count(1)), ""])
        errors, warnings = errors + severities.count(2), warnings + severities.count(1)
    for name, course in loss_courses.FAULTY.items():
        unseen = sum(
            LEFT.isdisjoint(f.code for f in found(course, seed, LENGTHS[2:])) for seed in seeds
        )
        rows.append([name, "left its best", "", "", str(unseen)])
        missed += unseen
    print(table(("kind", "truth", "errors", "warnings", "missed"), rows))
    healthy = len(loss_courses.HEALTHY) * arguments.each
    faulty = len(loss_courses.FAULTY) * arguments.each
    print(f"{errors} of {healthy} healthy courses have an error, {warnings} a warning")
    print(f"{missed} of {faulty} that left their best level are missed")
    print(f"on {machine()}, {commit()}")
    result = {
        "kinds": len(rows),
        "healthy": healthy,
        "errors": errors,
        "warnings": warnings,
        "faulty": faulty,
        "missed": missed,
    }
    save(arguments.out, "loss_courses", result)


if __name__ == "__main__":
    main()
