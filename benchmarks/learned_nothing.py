"""Why nothing was learned: reasons that are planted, and healthy runs that must be called nothing.

    python benchmarks/learned_nothing.py [--only NAME ...] [--jobs N] [--out FILE.json]

benchmarks/learning_programs.py and healthy_programs.py have the programs, each with its truth. They
run under `harness run` and, with a loop of their own, under `harness watch`. A reason is named if
its finding is there and no finding of another reason is, but for those that the program says are
true as well. A healthy run completes, and has no finding of a reason that is worse than
information.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import ROOT, commit, machine, save, table
from benchmarks.healthy_programs import healthy
from benchmarks.learning_programs import PLANTED, Program
from harness.analysis.findings import DETECTORS

MODULE = "harness.analysis.findings.learning"
REASONS = frozenset(detect.__name__ for detect in DETECTORS if detect.__module__ == MODULE)
AT_ONCE = 20
"""Scenarios of one command."""


def harness(*arguments: str, folder: Path) -> dict[str, Any]:
    """The document of one command."""
    command = [sys.executable, "-m", "harness", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def found(programs: Sequence[Program], folder: Path, jobs: int) -> dict[str, dict[str, str]]:
    """The severity of each reason that was found, by program; `jobs` commands at the same time."""
    for program in programs:
        (folder / f"{program.name}.py").write_text(program.source())
    ours = [program.name for program in programs if not program.watched]

    def ran(at: int) -> dict[str, Any]:
        files = [f"{name}.py" for name in ours[at : at + AT_ONCE]]
        run = harness("run", *files, "--json", folder=folder)
        return {result["scenario"]: result for result in run["results"]}

    def watched(name: str) -> dict[str, Any]:
        command = (sys.executable, f"{name}.py")
        (result,) = harness("watch", "--json", "--", *command, folder=folder)["results"]
        return {name: result}

    with ThreadPoolExecutor(jobs) as pool:
        parts = [
            *pool.map(ran, range(0, len(ours), AT_ONCE)),
            *pool.map(watched, [program.name for program in programs if program.watched]),
        ]
    results = {name: result for part in parts for name, result in part.items()}
    return {
        name: {
            finding["code"]: finding["severity"]
            for finding in result["findings"]
            if finding["code"] in REASONS
        }
        | ({"outcome": result["outcome"]} if result["outcome"] != "completed" else {})
        for name, result in results.items()
    }


def right(program: Program, codes: dict[str, str]) -> bool:
    """Compare what was found with the truth."""
    wrong = {code for code, severity in codes.items() if severity in ("warning", "error")}
    if program.reason is None:
        return not wrong and "outcome" not in codes
    return program.reason in codes and wrong <= {program.reason, *program.also}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="names of programs (default: all)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="commands at the same time (default: 1)"
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    programs = [
        program
        for program in (*PLANTED, *healthy())
        if arguments.only is None or program.name in arguments.only
    ]
    with tempfile.TemporaryDirectory() as folder:
        codes = found(programs, Path(folder), arguments.jobs)
    rows, wrong = [], []
    for program in programs:
        told = codes[program.name]
        shown = ", ".join(f"{code} ({severity})" for code, severity in told.items()) or "nothing"
        good = right(program, told)
        way = "watch" if program.watched else "run"
        if program.reason is not None or not good:
            rows.append(
                [program.name, way, program.reason or "healthy", shown, "yes" if good else "NO"]
            )
        if not good:
            wrong.append({"program": program.name, "truth": program.reason, "found": shown})
    print(table(("program", "under", "truth", "found", "right"), rows))
    planted = [program for program in programs if program.reason is not None]
    well = [program for program in programs if program.reason is None]
    named = sum(right(program, codes[program.name]) for program in planted)
    false = sum(not right(program, codes[program.name]) for program in well)
    print(
        f"{named} of {len(planted)} reasons named; {false} of {len(well)} healthy runs called wrong"
    )
    print(f"on {machine()}, {commit()}")
    result = {
        "planted": len(planted), "named": named, "healthy": len(well), "false": false,
        "reasons": [
            {"program": p.name, "watched": p.watched, "truth": p.reason, "found": codes[p.name]}
            for p in planted
        ],
        "wrong": wrong,
    }  # fmt: skip
    save(arguments.out, "learned_nothing", result)


if __name__ == "__main__":
    main()
