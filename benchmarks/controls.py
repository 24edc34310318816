"""The controls' verdicts by `harness selftest`, again and again, in one summary.

    python benchmarks/controls.py [--repeat 10] [--jobs 2] [--out FILE.json]
                                  [--mac [--refuse SOURCE ...]] [CONTROL ...]

A run is right if its outcome, its cause, its step, its findings and the ranks that are named are
those that the control declares, and if a healthy one has no error finding of another kind. With
--mac the harness runs on the simulated Mac.

Measure: every control right, ten times.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import simulated_mac
from benchmarks.common import commit, machine, save, table

ROOT = Path(__file__).resolve().parents[1]


def selftest(arguments: argparse.Namespace) -> dict[str, Any]:
    """The document of `harness selftest --json`."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            *simulated_mac.harness(arguments, Path(out, "mac")),
            *("selftest", *arguments.control, "--json", "--out", out),
            *("--repeat", str(arguments.repeat), "--jobs", str(arguments.jobs)),
        ]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE)
    if not done.stdout:
        raise SystemExit(f"selftest failed with {done.returncode}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def summaries(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The counts of each control."""
    declared = {
        info["name"]: info["verdict"].get("findings", [])
        for info in document["run"]["scenarios"]
        if info.get("verdict")
    }
    found: dict[str, list[set[str]]] = {name: [] for name in declared}
    for result in document["run"]["results"]:
        if result["outcome"] != "skipped":
            found[result["scenario"]].append({finding["code"] for finding in result["findings"]})
    names = sorted({row["control"] for row in document["controls"]})
    return [
        summary(
            [row for row in document["controls"] if row["control"] == name],
            declared[name],
            found[name],
        )
        for name in names
    ]


def summary(
    rows: Sequence[dict[str, Any]], declared: Sequence[str], found: Sequence[set[str]]
) -> dict[str, Any]:
    return {
        "control": rows[0]["control"],
        "expected": rows[0]["expected"],
        "runs": len(rows),
        "right": sum(row["ok"] is True for row in rows),
        "got": dict(Counter("skipped" if row["ok"] is None else row["got"] for row in rows)),
        "findings_declared": len(declared) * len(found),
        "findings_found": sum(code in codes for codes in found for code in declared),
        "wrong": [text for row in rows if row["ok"] is not True for text in row["wrong"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("control", nargs="*")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    simulated_mac.add_options(parser)
    arguments = parser.parse_args()
    controls = summaries(selftest(arguments))
    rows = [
        [str(control[key]) for key in ("control", "expected", "runs", "right")]
        for control in controls
    ]
    print(table(("control", "expected", "runs", "right"), rows))
    for control in controls:
        for text in control["wrong"]:
            print(f"{control['control']}: {text}")
    print(f"on {machine()}, {commit()}")
    conditions = {
        "repeat": arguments.repeat,
        "at_once": arguments.jobs,
        "mac": arguments.mac,
        "refused": simulated_mac.refused(arguments),
    }
    result = {**conditions, "controls": controls}
    save(arguments.out, "selftest", result)


if __name__ == "__main__":
    main()
