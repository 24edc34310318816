"""A check that no line of a log can leave its place in report.md or report.html.

    python benchmarks/privacy.py [--lines 100000] [--seed N] [--out FILE.json]

Lines are drawn from what means something in markdown, in HTML, in a terminal or to GitHub. A report
with them must have the blocks, elements and links of one whose log says nothing.

Measure: none of 100,000.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save
from harness.report.sections.scenario import LOG_LINES

TESTS = Path(__file__).resolve().parents[1] / "tests" / "unit"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    escapes = importlib.import_module("escapes")
    draw = random.Random(arguments.seed)
    tried, wrong = 0, []
    while tried < arguments.lines:
        lines = [escapes.line(draw) for _ in range(LOG_LINES)]
        tried += len(lines)
        wrong += [f"{told} of {lines}" for told in escapes.escaped(lines)]
    print(f"{len(wrong)} of {tried:,} lines left their place, on {machine()}")
    print("\n".join(wrong[:5]))
    save(arguments.out, "privacy", {"lines": tried, "seed": arguments.seed, "escaped": len(wrong)})
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
