"""The share of healthy runs that are called hung, on a machine that makes it hard.

    python benchmarks/false_hangs.py [--quick] [--rounds 10] [--jobs 4] [--out FILE.json]

Every run is healthy: scenarios of the ladder, and a victim that does something in one of its steps
that is easily taken for a stall, for 6 to 12 s where others take 5 ms. Each runs undisturbed, with
four spinning processes for each core, and with SIGSTOP and, 10 s later, SIGCONT to the worker or to
the supervisor, wherever it happens to be.

Measure: no false verdict in at least 300 runs. A verdict is false when the outcome is `hung`; any
other end than `completed` is counted too. The bound is Clopper and Pearson's, one-sided, 95 %: for
no event in n runs about 3 / n.

Three kinds cannot be told from a hang but by waiting longer than the harness promises to take, 10 s
for a phase that took milliseconds before: a worker that waits without a timeout for something
outside, whose peer may be dead (late_peer); one that polls for what may never come
(very_patient_loader); one that runs a single function all that time, as a livelock does
(long_python). They are measured and told apart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import VICTIM, figures, machine, save, table

ROOT = Path(__file__).resolve().parents[1]
LADDER = ("baseline_update", "compiled_step", "lora_step", "tiny_model")
EVENTS = (
    "nothing",
    "slow_step",
    "slow_python",
    "tokenizing",
    "compressing",
    "patient_loader",
    "long_sleep",
    "working_child",
    "sleeping_child",
    "checkpoint",
    "download",
    "cold_compiles",
    "flood",
)
UNDECIDABLE = ("late_peer", "long_python", "very_patient_loader")
DISTURBANCES = ("none", "spinners", "worker stopped", "supervisor stopped")
QUICK = ("baseline_update", "slow_step", "patient_loader", "long_sleep")
SPINNERS_A_CORE = 4
STOPPED_S = 10.0


def bound(events: int, runs: int, confidence: float = 0.95) -> float:
    """Upper end of Clopper and Pearson's one-sided interval for a share, by bisection."""
    if events >= runs:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if at_most(events, runs, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def at_most(events: int, runs: int, share: float) -> float:
    """Probability of at most so many events in so many runs."""
    term = total = (1 - share) ** runs
    for k in range(events):
        term *= (runs - k) / (k + 1) * share / (1 - share)
        total += term
    return total


@contextlib.contextmanager
def spinners(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(kind: str, disturbance: str, seed: int) -> dict[str, Any]:
    """One healthy run; its outcome and whatever was said of it."""
    event = kind not in LADDER
    asked = {"event": kind, "step_s": 0.005, "at": 60, "computed": True}
    with tempfile.TemporaryDirectory() as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness", "run", str(VICTIM) if event else kind),
                *("--json", "--out", out, "--cold", "--steps", "120" if event else "20"),
            ],
            cwd=ROOT,
            env={**os.environ, "VICTIM": json.dumps(asked)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if disturbance.endswith("stopped"):
            stop(process, disturbance, random.Random(seed))
        output, errors = process.communicate()
    if not output:
        raise SystemExit(f"{kind}: {errors.decode()}")
    (result,) = json.loads(output)["results"]
    return {
        "kind": kind,
        "disturbance": disturbance,
        "outcome": result["outcome"],
        "reason": result["reason"],
        "wall_s": result["wall_s"],
    }


def stop(harness: subprocess.Popen[bytes], disturbance: str, draw: random.Random) -> None:
    """Stop the worker or the supervisor for a while, at some moment of the run."""
    time.sleep(draw.uniform(0.3, 3.0))
    with contextlib.suppress(psutil.Error):
        target = psutil.Process(harness.pid)
        if disturbance == "worker stopped":
            # Below the harness is the guard, and below that the worker.
            target = only_child(only_child(target))
        target.send_signal(signal.SIGSTOP)
        try:
            time.sleep(STOPPED_S)
        finally:
            target.send_signal(signal.SIGCONT)


def only_child(process: psutil.Process) -> psutil.Process:
    """Waits for it to be started. Raises psutil.NoSuchProcess when that does not happen."""
    while not (children := process.children()):
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(process.pid)
        time.sleep(0.01)
    return children[0]


def measure(
    kinds: Sequence[str], disturbances: Sequence[str], rounds: int, jobs: int
) -> list[dict[str, Any]]:
    runs = []
    for disturbance in disturbances:
        crowd = SPINNERS_A_CORE * (os.cpu_count() or 1) if disturbance == "spinners" else 0
        asked = [(kind, disturbance, seed) for seed in range(rounds) for kind in kinds]
        with spinners(crowd), ThreadPoolExecutor(jobs) as pool:
            for done in pool.map(lambda one: run(*one), asked):
                runs.append(done)
                if done["outcome"] != "completed":
                    print(*done.values(), sep=", ", file=sys.stderr, flush=True)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few kinds, once each")
    parser.add_argument("--rounds", type=int, help="of every kind under every disturbance (10)")
    parser.add_argument("--jobs", type=int, default=4, help="runs at once (4)")
    parser.add_argument("--kinds", nargs="+", choices=LADDER + EVENTS + UNDECIDABLE)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kinds = arguments.kinds or (QUICK if arguments.quick else LADDER + EVENTS + UNDECIDABLE)
    rounds = arguments.rounds or (1 if arguments.quick else 10)
    runs = measure(kinds, DISTURBANCES, rounds, arguments.jobs)
    head = ("kind", "runs", *DISTURBANCES)
    rows = []
    for kind in kinds:
        here = [one for one in runs if one["kind"] == kind]
        rows.append([kind, str(len(here)), *(told(here, d) for d in DISTURBANCES)])
    print(table(head, rows))
    judged = [one for one in runs if one["kind"] not in UNDECIDABLE]
    false = sum(one["outcome"] == "hung" for one in judged)
    others = sum(one["outcome"] not in ("hung", "completed") for one in judged)
    upper = bound(false, len(judged)) if judged else 1.0
    print(
        f"{false} of {len(judged)} healthy runs called hung (95 % bound: {100 * upper:.2f} %), "
        f"{others} ended in another way than completed"
        + (f"; {', '.join(UNDECIDABLE)} left out" if set(kinds) & set(UNDECIDABLE) else "")
    )
    print(f"on {machine()}")
    result = {
        "false": false,
        "runs": len(judged),
        "bound": upper,
        "others": others,
        "cells": [cell(kind, disturbance, runs) for kind in kinds for disturbance in DISTURBANCES],
    }
    save(arguments.out, "false_hangs", result)


def cell(kind: str, disturbance: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What came of one kind of run under one disturbance."""
    here = [one for one in runs if (one["kind"], one["disturbance"]) == (kind, disturbance)]
    others = [one for one in here if one["outcome"] != "completed"]
    return {
        "kind": kind,
        "disturbance": disturbance,
        "runs": len(here),
        "completed": len(here) - len(others),
        "others": [f"{one['outcome']}: {one['reason']}" for one in others],
        "wall_s": figures([one["wall_s"] for one in here]),
    }


def told(runs: Sequence[dict[str, Any]], disturbance: str) -> str:
    """`0/10`: of the runs under this disturbance so many were not completed."""
    outcomes = [one["outcome"] for one in runs if one["disturbance"] == disturbance]
    return f"{sum(outcome != 'completed' for outcome in outcomes)}/{len(outcomes)}"


if __name__ == "__main__":
    main()
