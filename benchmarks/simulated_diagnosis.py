"""The diagnosis of simulated trainings whose fault is known, for each kind of fault.

    python benchmarks/simulated_diagnosis.py [--cases 2000] [--first 100000] [--out FILE.json]

`tests/unit/simulated.py` has the physical model of a training, `tests/unit/simulated_cases.py`
draws the cases: no fault, one, or two at once; in half of them some scenarios are missing. The
seeds begin where no test's do, so that no rule was made on these cases.

A fault is named if its hypothesis is supported. A claim is false if a hypothesis is supported that
is not true, or a true one is refuted.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit"))

import simulated_cases  # type: ignore[import-not-found]

from benchmarks.common import commit, machine, save, table
from harness.model import Support

FIRST = 100_000


def judged(seed: int) -> dict[str, Any]:
    """One case: its kind, and what the diagnosis says of it."""
    case = simulated_cases.drawn(seed)
    verdicts = simulated_cases.verdicts(case)
    supported = simulated_cases.those(verdicts, Support.SUPPORTED)
    return {
        "kind": " + ".join(sorted(case.faults)) if len(case.faults) < 2 else "two faults",
        "acted": bool(case.true),
        "named": bool(supported & case.true),
        "all_named": case.true <= supported,
        "false": bool(simulated_cases.wrong(case, verdicts)),
    }


def counted(cases: int, first: int) -> list[dict[str, Any]]:
    """The counts of each kind of case."""
    kinds = defaultdict(list)
    for seed in range(first, first + cases):
        row = judged(seed)
        kinds[row["kind"] or "no fault"].append(row)
    return [
        {
            "kind": kind,
            "cases": len(rows),
            "acted": sum(row["acted"] for row in rows),
            "named": sum(row["named"] for row in rows),
            "all_named": sum(row["acted"] and row["all_named"] for row in rows),
            "false": sum(row["false"] for row in rows),
        }
        for kind, rows in sorted(kinds.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kinds = counted(arguments.cases, arguments.first)
    head = ("fault", "cases", "acted", "named", "all named", "false claims")
    print(table(head, [[str(value) for value in row.values()] for row in kinds]))
    print(f"on {machine()}, {commit()}")
    result = {"cases": arguments.cases, "first": arguments.first, "kinds": kinds}
    save(arguments.out, "simulated_diagnosis", result)


if __name__ == "__main__":
    main()
