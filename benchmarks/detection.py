"""The delay from a stall to its verdict, and to its stacks on disk.

    python benchmarks/detection.py [--quick] [--runs 20] [--jobs 1] [--kinds ...] [--out FILE.json]

Every run is a training step of a fixed time that stalls for good in one of its steps. The victim
writes down the monotonic time just before; the verdict's time is the supervisor's, on the same
clock; that of the stacks is the time at which the first of their files was last written. Runs that
were not called hung are counted, and have no latency.

Measure: proven within 1.5 s at p95, at any step time; others within max(10 s, 5 x the steps' p99);
stacks within 3 s of the verdict. Steps of 5 s and more sleep, so that many runs fit on one machine
(--jobs); shorter ones compute.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import VICTIM, figures, machine, save, shown, table
from harness.model import Outcome, ScenarioResult, Settings
from harness.scenario import load
from harness.session import plan
from harness.session.execute import execute
from harness.session.plan import Options
from harness.stats import median
from harness.supervise.job import Job

KINDS = (
    "fork_deadlock",
    "two_locks",
    "empty_queue",
    "native_lock_with_gil",
    "child_never_ends",
    "silent_peer",
    "timed_waits",
    "python_spin",
    "native_spin",
)
ON_GPU = ("gpu_kernel",)
STEPS_BEFORE = {0.005: 100, 0.1: 20, 1.0: 5, 5.0: 3, 20.0: 3}
"""By the seconds of a step, the number of steps before the stall."""
QUICK = ("fork_deadlock", "two_locks", "silent_peer"), (0.005, 0.1), 2
PROVEN_S = 1.5
SLEEPS_FROM_S = 5.0


class Stopwatch:
    """Takes the times of each run as it ends."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []

    def started(self, job: Job) -> None: ...

    def looked(self, jobs: Sequence[Job]) -> None: ...

    def finished(self, job: Job, result: ScenarioResult) -> None:
        stalled = float((job.folder / "event").read_text())
        run: dict[str, Any] = {
            "outcome": result.outcome.value,
            "reason": result.reason,
            "cause": result.cause.code if result.cause else None,
            "proven": bool(result.cause and result.cause.proven),
            "step_p99_s": result.metrics.step_s.p99 if result.metrics.step_s else None,
        }
        if result.outcome is Outcome.HUNG and result.detected_at_s is not None:
            verdict = job.started + result.detected_at_s
            run["verdict_s"] = verdict - stalled
            monotonic = time.monotonic() - time.time()
            files = [path for path in (job.folder / "stacks").rglob("*") if path.is_file()]
            written = [file.stat().st_mtime + monotonic for file in files]
            run["stacks_s"] = min(written) - verdict if written else None
        self.runs.append(run)


def measure(kind: str, step_s: float, runs: int, jobs: int) -> list[dict[str, Any]]:
    """The runs of one kind of stall at one step time."""
    before = STEPS_BEFORE[step_s]
    os.environ["VICTIM"] = json.dumps(
        {"event": kind, "step_s": step_s, "at": before, "computed": step_s < SLEEPS_FROM_S}
    )
    stopwatch = Stopwatch()
    settings = Settings(steps=before + 2)
    budget = before * step_s * 2 + 3 * max(10.0, 5 * step_s) + 30.0
    with tempfile.TemporaryDirectory() as out:
        execute(
            plan.make(load.find([str(VICTIM)]), settings, runs),
            settings,
            Options(out=Path(out), jobs=jobs, budget=budget),
            stopwatch,
            ["benchmarks/detection.py"],
        )
    return stopwatch.runs


def summary(kind: str, step_s: float, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    hung = [run for run in runs if "verdict_s" in run]
    proven = sum(run["proven"] for run in hung)
    all_proven = bool(hung) and proven == len(hung)
    usual = median([run["step_p99_s"] or 0.0 for run in runs])
    return {
        "kind": kind,
        "step_s": step_s,
        "runs": len(runs),
        "hung": len(hung),
        "proven": proven,
        "causes": sorted({run["cause"] for run in hung}),
        "verdict_s": figures([run["verdict_s"] for run in hung]),
        "limit_s": PROVEN_S if all_proven else max(10.0, 5 * usual),
        "stacks_s": figures([run["stacks_s"] for run in hung if run["stacks_s"] is not None]),
        "stacks_missing": sum(run["stacks_s"] is None for run in hung),
        "not_hung": [run["reason"] or run["outcome"] for run in runs if "verdict_s" not in run],
    }


HEAD = ("kind", "step s", "hung", "proven", "cause", "verdict s", "p95", "max", "limit",
        "stacks s", "p95", "max", "missing")  # fmt: skip


def row(one: dict[str, Any]) -> list[str]:
    verdict, stacks = one["verdict_s"], one["stacks_s"]
    return [
        one["kind"],
        f"{one['step_s']:g}",
        f"{one['hung']}/{one['runs']}",
        str(one["proven"]),
        ",".join(one["causes"]) or "–",
        *(shown(verdict.get(figure)) for figure in ("median", "p95", "max")),
        f"{one['limit_s']:.3g}",
        *(shown(stacks.get(figure)) for figure in ("median", "p95", "max")),
        str(one["stacks_missing"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few kinds, two runs each")
    parser.add_argument("--runs", type=int, help="of each kind at each step time (20)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (1)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS + ON_GPU)
    parser.add_argument("--step-s", nargs="+", type=float, choices=list(STEPS_BEFORE))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kinds, steps, runs = QUICK if arguments.quick else (KINDS, tuple(STEPS_BEFORE), 20)
    results = []
    for kind in arguments.kinds or kinds:
        for step_s in arguments.step_s or steps:
            measured = measure(kind, step_s, arguments.runs or runs, arguments.jobs)
            results.append(summary(kind, step_s, measured))
            # After each, so that an interrupted benchmark has told what it knows.
            print(table(HEAD, [row(results[-1])]).partition("\n")[2], file=sys.stderr, flush=True)
            save(arguments.out, "detection", results)
    print(table(HEAD, [row(one) for one in results]))
    print(f"on {machine()}")


if __name__ == "__main__":
    main()
