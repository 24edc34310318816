"""Healthy programs on a simulated Mac that answers wrongly, under `harness watch --patience 3`.

    python benchmarks/macos_lies.py [--jobs 6] [--only LIE ...] [--program NAME ...]
                                    [--limit SECONDS] [--out FILE.json]

A LIE is a call and how it lies, as `threads:zero` (tests/macos/lies.h). Each program computes for
20 s without a report: by itself, in a child, in a thread that it waits for, or at the other end of
a pipe. So the harness doubts what it cannot see, and would end it soon. Beyond the limit no run
begins.

Measures: each run completes, and nothing is doubted for long.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import simulated_mac
from benchmarks.common import Deadline, commit, machine, save, table

PATIENCE_S, TAKES_S = 3.0, 60.0
CALLS = {
    "task": "zero frozen garbage short long",
    "ids": "zero frozen garbage short",
    "threads": "zero frozen garbage short",
    "rusage": "zero frozen garbage",
    "children": "zero frozen garbage short",
    "users": "zero garbage short",
    "files": "zero frozen garbage short",
    "pipes": "zero garbage short",
    "sockets": "zero garbage",
    "paths": "zero garbage",
    "pages": "zero garbage short",
    "swap": "garbage",
    "ticks": "zero garbage",
}
"""How each call may lie."""
STEPS = "for n in range(6):\n    print(f'step {n} loss 2.{n}', flush=True)\n    time.sleep(0.1)\n"
WORK = "end = time.monotonic() + 20\nwhile time.monotonic() < end: sum(range(1000))\n"
CHILD = f"[sys.executable, '-c', {'import time; ' + chr(10) + WORK!r}]"
HEAD = f"import subprocess, sys, threading, time\n{STEPS}"
LAST = "print('step 6 loss 1.0', flush=True)\n"
PROGRAMS = {
    "alone": f"{HEAD}{WORK}{LAST}",
    "child": f"{HEAD}subprocess.run({CHILD})\n{LAST}",
    "thread": f"{HEAD}one = threading.Thread(target=exec, args=({WORK!r}, globals()))\n"
    f"one.start()\none.join()\n{LAST}",
    "pipe": f"{HEAD}subprocess.run({CHILD}, stdout=subprocess.PIPE)\n{LAST}",
}


def watch(harness: tuple[str, ...], lie: str, name: str) -> dict[str, Any]:
    """One program under `harness watch`."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, f"{name}.py")
        script.write_text(PROGRAMS[name])
        done = subprocess.run(
            [*harness, "watch", "--patience", str(PATIENCE_S), "--json", "--out", folder]
            + ["--", sys.executable, str(script)],
            env={**os.environ, "DARWIN_LIES": lie},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
    if not done.stdout or "Traceback" in done.stderr:
        return {"lie": lie, "program": name, "outcome": "raised", "says": done.stderr[-500:]}
    (result,) = json.loads(done.stdout)["results"]
    doubts = [doubt["summary"] for doubt in result["doubts"]]
    told = [line.strip() for line in done.stderr.splitlines() if "blind" in line or "look" in line]
    return {
        "lie": lie,
        "program": name,
        "outcome": result["outcome"],
        "says": "; ".join(dict.fromkeys([*doubts, *told])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=6, help="runs at once (6)")
    parser.add_argument("--only", nargs="+", metavar="LIE", help="these lies")
    parser.add_argument("--program", nargs="+", choices=PROGRAMS, default=[*PROGRAMS])
    parser.add_argument("--limit", type=float, help="seconds after which no run ends")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    every = [f"{call}:{how}" for call, ways in CALLS.items() for how in ways.split()]
    if unknown := {*(arguments.only or ())} - {*every}:
        raise SystemExit(f"no such lie: {', '.join(sorted(unknown))}; use: {', '.join(every)}")
    tasks = [(lie, name) for name in arguments.program for lie in arguments.only or every]
    limit = Deadline(None if arguments.limit is None else arguments.limit / 60)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        harness = simulated_mac.on_mac(Path(folder))

        def one(task: tuple[str, str]) -> dict[str, Any] | None:
            run = watch(harness, *task) if limit.leaves(TAKES_S) else None
            if run is not None and run["outcome"] != "completed":
                print(f"WRONG {run['lie']}, {run['program']}: {run['outcome']}: {run['says']}")
            return run

        runs = [run for run in pool.map(one, tasks) if run is not None]
    rows = []
    for name in arguments.program:
        own = [run for run in runs if run["program"] == name]
        kept = [run for run in own if run["outcome"] == "completed"]
        doubted = [run["lie"] for run in kept if "has run for" in run["says"]]
        rows.append([name, str(len(own)), str(len(kept)), str(len(doubted))])
    print(table(("program", "lies", "completed", "doubted"), rows))
    print(f"{len(runs)} of {len(tasks)} runs, on {machine()}, {commit()}")
    save(arguments.out, "macos_lies", {"patience": PATIENCE_S, "runs": runs})
    sys.exit(0 if all(run["outcome"] == "completed" for run in runs) else 1)


if __name__ == "__main__":
    main()
