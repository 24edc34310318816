"""The controls' verdicts by `harness selftest`, again and again, in one summary.

    python benchmarks/controls.py [--repeat 10] [--jobs 2] [--out FILE.json]
                                  [--mac [--refuse SOURCE ...]] [CONTROL ...]

A run is right if its outcome, its cause, its step, its findings and the ranks that are named are
those that the control declares, and if a healthy one has no error finding of another kind. With
--mac the harness runs on the simulated Mac.

With more --jobs than --repeat, all runs of a control are made at once by a supervisor of its own,
and several controls side by side. The summary is written anew after each control.

Measure: every control right, ten times.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import simulated_mac
from benchmarks.common import commit, machine, save, table
from harness.model import Outcome
from harness.scenario import load

ROOT = Path(__file__).resolve().parents[1]


def measure(arguments: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """The summaries of the controls, as far as they are known, each time that there are more."""
    repeat, jobs = arguments.repeat, arguments.jobs
    if jobs <= repeat:
        yield summaries(selftest(arguments, arguments.control, jobs))
        return
    infos = load.find(arguments.control) if arguments.control else load.controls()
    # A hang takes longer than a crash: what takes long begins first.
    hung = [one for one in infos if one.verdict and Outcome.HUNG in one.verdict.outcome]
    others = [one for one in infos if one not in hung]
    found: list[dict[str, Any]] = []
    with ThreadPoolExecutor(jobs // repeat) as pool:
        asked = [
            pool.submit(selftest, arguments, [str(info.path)], repeat) for info in (*hung, *others)
        ]
        for future in as_completed(asked):
            found += summaries(future.result())
            yield sorted(found, key=lambda one: str(one["control"]))


def selftest(arguments: argparse.Namespace, names: Sequence[str], jobs: int) -> dict[str, Any]:
    """The document of `harness selftest --json`."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            *simulated_mac.harness(arguments, Path(out, "mac")),
            *("selftest", *names, "--json", "--out", out),
            *("--repeat", str(arguments.repeat), "--jobs", str(jobs)),
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
    conditions = {
        "repeat": arguments.repeat,
        "at_once": arguments.jobs,
        "mac": arguments.mac,
        "refused": simulated_mac.refused(arguments),
    }
    controls: list[dict[str, Any]] = []
    for controls in measure(arguments):
        save(arguments.out, "selftest", {**conditions, "controls": controls})
    rows = [
        [str(control[key]) for key in ("control", "expected", "runs", "right")]
        for control in controls
    ]
    print(table(("control", "expected", "runs", "right"), rows))
    for control in controls:
        for text in control["wrong"]:
            print(f"{control['control']}: {text}")
    print(f"on {machine()}, {commit()}")


if __name__ == "__main__":
    main()
