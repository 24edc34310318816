"""The duration of the ladder, and the cost of its supervision.

    python benchmarks/run_all.py [--rounds 3] [--out FILE.json]

Each round runs the whole ladder cold (no kernel compiled before), warm, and warm with two jobs, in
turns, so that all three see the same machine. The supervisor's CPU time is that of its process
alone, as a share of one core over a run of many steps; its memory is its RSS early and late in that
run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save
from harness.stats import median

ROOT = Path(__file__).resolve().parents[1]


def harness(out: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "harness", *arguments, "--json", "--out", out]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def ladder(*arguments: str) -> tuple[float, list[str]]:
    """Seconds of one run of the ladder, and its outcomes."""
    with tempfile.TemporaryDirectory() as out:
        began = time.monotonic()
        output, _ = harness(out, "run-all", *arguments).communicate()
        took = time.monotonic() - began
    return took, [result["outcome"] for result in json.loads(output)["results"]]


def supervision(steps: int) -> dict[str, float]:
    """CPU share and memory of the supervisor over one long run."""
    with tempfile.TemporaryDirectory() as out:
        process = harness(out, "run", "tiny_model", "--steps", str(steps), "--budget", "3000")
        watched = psutil.Process(process.pid)
        time.sleep(3)
        first, began, early = watched.cpu_times(), time.monotonic(), watched.memory_info().rss
        last, ended, late = first, began, early
        while process.poll() is None:
            try:
                with watched.oneshot():
                    children = watched.children()
                    if children:
                        last, ended = watched.cpu_times(), time.monotonic()
                        late = watched.memory_info().rss
            except psutil.Error:
                break
            time.sleep(0.5)
        process.communicate()
    spent = last.user + last.system - first.user - first.system
    return {
        "seconds": ended - began,
        "cpu_share": spent / (ended - began),
        "rss_early": early,
        "rss_late": late,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    ways = {"cold": ["--cold"], "warm": [], "warm, 2 jobs": ["--jobs", "2"]}
    times: dict[str, list[float]] = {name: [] for name in ways}
    outcomes = set()
    for _ in range(arguments.rounds):
        for name, extra in ways.items():
            took, found = ladder(*extra)
            times[name].append(took)
            outcomes.add(tuple(found))
    for name, taken in times.items():
        each = ", ".join(f"{one:.1f}" for one in taken)
        print(f"run-all {name:<13} {median(taken):7.1f} s  ({each})")
    print(f"outcomes the same in all runs: {len(outcomes) == 1}")
    cost: dict[str, Any] = supervision(arguments.steps)
    print(
        f"supervisor            {100 * cost['cpu_share']:7.2f} % of a core over "
        f"{cost['seconds']:.0f} s; RSS {cost['rss_early'] / 2**20:.1f} MiB early, "
        f"{cost['rss_late'] / 2**20:.1f} MiB late"
    )
    print(f"on {machine()}")
    result = {"seconds": times, "same_outcomes": len(outcomes) == 1, "supervisor": cost}
    save(arguments.out, "run_all", result)


if __name__ == "__main__":
    main()
