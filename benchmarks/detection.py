"""The delay from a stall to its doubt, its verdict and its stacks on disk.

    python benchmarks/detection.py [--quick] [--runs 20] [--jobs N] [--patience 2] [--kinds ...]
                                   [--step-s ...] [--minutes M] [--out FILE.json]

Every run is a training step of a fixed time that stalls in one of its steps. The victim writes down
the monotonic time just before; the times of doubt and verdict are the supervisor's, on the same
clock; that of the stacks is the time at which the first of their files was last written. Most of
them stall for good: a proven one is called hung at once, another one when its doubt has stood for
`--patience`. Some go on after a while, and the victim writes down when: their doubt has to
be taken back.

Measure: proven within 1.5 s at p95, at any step time; a doubt said within max(10 s, 5 x the steps'
p99), with the right end, and taken back within 2 s of the next step; stacks within 3 s of the
verdict. Steps of 5 s and more sleep; shorter ones compute.

A cell is one kind at one step time. Several run at once: those that spin on N cores, the others,
which stand still, SLEEPERS times as many. The longest begin first. Each has its own process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import VICTIM, Deadline, figures, machine, save, server, shown, table
from harness.model import Outcome, Patience, ScenarioResult, Settings
from harness.scenario import load
from harness.session import plan
from harness.session.execute import execute
from harness.session.plan import Options
from harness.stats import median
from harness.supervise.job import Job

PROVEN = (
    "fork_deadlock",
    "two_locks",
    "empty_queue",
    "native_lock_with_gil",
    "processes_in_a_circle",
    "pool_of_a_killed_worker",
    "joined_trainer",
    "silent_peer",
)
DOUBTED = {
    "child_never_ends": ("clock", "unknown"),
    "silent_server": ("program",),
    "timed_waits": ("polls",),
    "python_spin": ("spins",),
    "native_spin": ("spins",),
    "gpu_kernel": ("gpu_works",),
}
"""Kinds that are not proven, and the right ends of their chains."""
ENDING = {"late_answer": ("program",), "late_poll": ("polls",), "late_loop": ("spins",)}
"""Those that stall and go on, once their doubt must have been said."""
ON_GPU = ("gpu_kernel",)
SPINNING = ("python_spin", "native_spin", "late_loop")
ENDS = DOUBTED | ENDING
KINDS = tuple(kind for kind in (*PROVEN, *ENDS) if kind not in ON_GPU)
STEPS_BEFORE = {0.005: 100, 0.1: 20, 1.0: 5, 5.0: 3, 20.0: 3}
"""By the seconds of a step, the number of steps before the stall."""
QUICK = ("two_locks", "processes_in_a_circle", "silent_server", "late_answer"), (0.005,), 1
PROVEN_S = 1.5
DOUBT_S, DOUBT_FACTOR = 10.0, 5.0
BACK_S = 2.0
SLEEPS_FROM_S = 5.0
SLEEPERS = 6
SPINS_AT = (0.005, 1.0, 5.0)
"""The step times of what spins, if none are given: such cells have to run one after the other."""
SPARE_S = 15.0
"""The start and the end of a run, and the stacks."""


class Cell(NamedTuple):
    kind: str
    step_s: float
    runs: int
    patience: float
    port: int

    @property
    def limit_s(self) -> float:
        """The time in which a doubt is to be said."""
        return max(DOUBT_S, DOUBT_FACTOR * self.step_s)

    @property
    def stall_s(self) -> float:
        """The duration of a stall that ends: the doubt has been said by then."""
        return 1.5 * self.limit_s

    @property
    def takes_s(self) -> float:
        """The time that a run takes, at most."""
        before = STEPS_BEFORE[self.step_s] * self.step_s
        if self.kind in PROVEN:
            return before + SPARE_S
        after = self.stall_s + 2 * self.step_s if self.kind in ENDING else self.limit_s
        return before + after + self.patience + SPARE_S


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
            "doubts": len(result.doubts),
        }
        if result.doubts:
            doubt = result.doubts[0]
            run["doubt_s"] = job.started + doubt.said_s - stalled
            run["end"] = doubt.end.get("kind")
            over = job.folder / "event_over"
            if doubt.taken_back_s is not None and over.exists():
                run["back_s"] = job.started + doubt.taken_back_s - float(over.read_text())
        if result.outcome is Outcome.HUNG and result.detected_at_s is not None:
            verdict = job.started + result.detected_at_s
            run["verdict_s"] = verdict - stalled
            monotonic = time.monotonic() - time.time()
            files = [path for path in (job.folder / "stacks").rglob("*") if path.is_file()]
            written = [file.stat().st_mtime + monotonic for file in files]
            run["stacks_s"] = min(written) - verdict if written else None
        self.runs.append(run)


def measure(cell: Cell) -> list[dict[str, Any]]:
    """All runs of a cell, at once."""
    before = STEPS_BEFORE[cell.step_s]
    asked = {
        "event": cell.kind,
        "step_s": cell.step_s,
        "at": before,
        "computed": cell.step_s < SLEEPS_FROM_S,
        "long_s": cell.stall_s,
        "port": cell.port,
    }
    os.environ["VICTIM"] = json.dumps(asked)
    stopwatch = Stopwatch()
    settings = Settings(steps=before + 2)
    # Those that go on are not to be called hung.
    patience = 10 * cell.stall_s if cell.kind in ENDING else cell.patience
    with tempfile.TemporaryDirectory() as out:
        execute(
            plan.make(load.find([str(VICTIM)]), settings, cell.runs),
            settings,
            Options(
                out=Path(out),
                jobs=cell.runs,
                budget=2 * cell.takes_s,
                patience=Patience(seconds=patience),
            ),
            stopwatch,
            ["benchmarks/detection.py"],
        )
    return stopwatch.runs


def in_time(kind: str, run: dict[str, Any]) -> bool:
    """True if a run was proven dead, or else doubted, as soon as is aimed at."""
    if kind in PROVEN:
        return bool(run.get("proven") and run["verdict_s"] <= PROVEN_S)
    limit_s = max(DOUBT_S, DOUBT_FACTOR * (run["step_p99_s"] or 0.0))
    return "doubt_s" in run and bool(run["doubt_s"] <= limit_s)


def summary(cell: Cell, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    hung = [run for run in runs if "verdict_s" in run]
    doubted = [run for run in runs if "doubt_s" in run]
    usual = median([run["step_p99_s"] or 0.0 for run in runs])
    right = ENDS.get(cell.kind, ())
    return {
        "kind": cell.kind,
        "step_s": cell.step_s,
        "runs": len(runs),
        "hung": len(hung),
        "proven": sum(run["proven"] for run in hung),
        "causes": sorted({run["cause"] for run in hung}),
        "verdict_s": figures([run["verdict_s"] for run in hung]),
        "to_be_proven": cell.kind in PROVEN,
        "in_time": sum(in_time(cell.kind, run) for run in runs),
        "doubted": len(doubted),
        "doubt_s": figures([run["doubt_s"] for run in doubted]),
        "limit_s": PROVEN_S if cell.kind in PROVEN else max(DOUBT_S, DOUBT_FACTOR * usual),
        "ends": dict(Counter(run["end"] for run in doubted)),
        "right_ends": sum(run["end"] in right for run in doubted),
        "back_s": figures([run["back_s"] for run in doubted if "back_s" in run]),
        "stacks_s": figures([run["stacks_s"] for run in hung if run["stacks_s"] is not None]),
        "stacks_missing": sum(run["stacks_s"] is None for run in hung),
        "not_hung": [run["reason"] or run["outcome"] for run in runs if "verdict_s" not in run],
    }


HEAD = ("kind", "step s", "hung", "proven", "cause", "verdict s", "p95", "max", "doubts",
        "doubt s", "p95", "max", "limit", "ends", "right", "back s", "p95", "max", "stacks s",
        "max", "missing")  # fmt: skip


def row(one: dict[str, Any]) -> list[str]:
    def told(figure: str, *names: str) -> list[str]:
        return [shown(one[figure].get(name)) for name in names]

    return [
        one["kind"],
        f"{one['step_s']:g}",
        f"{one['hung']}/{one['runs']}",
        str(one["proven"]),
        ",".join(one["causes"]) or "–",
        *told("verdict_s", "median", "p95", "max"),
        str(one["doubted"]),
        *told("doubt_s", "median", "p95", "max"),
        f"{one['limit_s']:.3g}",
        ",".join(str(end) for end in one["ends"]) or "–",
        str(one["right_ends"]),
        *told("back_s", "median", "p95", "max"),
        *told("stacks_s", "median", "max"),
        str(one["stacks_missing"]),
    ]


def run_all(cells: Sequence[Cell], at_once: int, deadline: Deadline, out: Path | None) -> list[Any]:
    """Run the cells, so many runs at once; the summaries as far as there was time."""
    results: list[dict[str, Any]] = []
    groups = {True: at_once, False: at_once * SLEEPERS}
    pools = {
        spins: ProcessPoolExecutor(max(1, most // cells[0].runs), mp_context=get_context("spawn"))
        for spins, most in groups.items()
    }
    with pools[True] as spinning, pools[False] as others:
        pool = {True: spinning, False: others}
        asked = {
            pool[cell.kind in SPINNING].submit(within, cell, deadline): cell
            for cell in sorted(cells, key=lambda cell: -cell.takes_s)
        }
        for future in as_completed(asked):
            runs = future.result()
            if not runs:
                print(f"{asked[future]}: no time left", file=sys.stderr, flush=True)
                continue
            results.append(summary(asked[future], runs))
            # After each, so that an interrupted benchmark has told what it knows.
            print(table(HEAD, [row(results[-1])]).partition("\n")[2], file=sys.stderr, flush=True)
            results.sort(key=lambda one: (KINDS + ON_GPU).index(one["kind"]))
            save(out, "detection", results)
    return results


def within(cell: Cell, deadline: Deadline) -> list[dict[str, Any]]:
    """The runs of a cell; none where it would not end in time."""
    return measure(cell) if deadline.leaves(cell.takes_s) else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few kinds, one run each")
    parser.add_argument("--runs", type=int, help="of each kind at each step time (20)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1,
                        help="spinning runs at once (the number of CPUs)")  # fmt: skip
    parser.add_argument("--patience", type=float, default=2.0, help="with a doubt, in seconds (2)")
    parser.add_argument("--minutes", type=float, help="start no cell that would end later")
    parser.add_argument("--kinds", nargs="+", choices=KINDS + ON_GPU)
    parser.add_argument("--step-s", nargs="+", type=float, choices=list(STEPS_BEFORE))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kinds, steps, runs = QUICK if arguments.quick else (KINDS, tuple(STEPS_BEFORE), 20)
    with server() as port:
        cells = [
            Cell(kind, step_s, arguments.runs or runs, arguments.patience, port)
            for kind in arguments.kinds or kinds
            for step_s in arguments.step_s or steps
            if arguments.step_s or kind not in SPINNING or step_s in SPINS_AT
        ]
        deadline = Deadline(arguments.minutes)
        results = run_all(cells, arguments.jobs, deadline, arguments.out)
    print(table(HEAD, [row(one) for one in results]))
    print(f"on {machine()}")


if __name__ == "__main__":
    main()
