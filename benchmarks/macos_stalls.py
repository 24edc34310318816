"""Healthy programs and stalls on the simulated Mac, under `harness watch --patience 5`.

    python benchmarks/macos_stalls.py [--repeat 3] [--jobs 3] [--patience 5] [--out FILE.json]

The healthy program has a child beside it that is blocked for ever. It computes for 25 s in one
step, and then waits for the GPU for 22 s. Of the two stalls one waits for a lock of its own, and
one for a child that is blocked. Each runs with what psutil may read by three systems: a released
one (`ad`), psutil 8 (`p8`), and macOS 27 (`27`).

Measures: each healthy run completes. Each stall is doubted within 15 s of its last report, and
ended with that patience.
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
from benchmarks.common import commit, figures, machine, save, table

MODES = ("ad", "p8", "27")
WITHIN_S = 15.0
GPU_WAIT = simulated_mac.HERE / "samples" / "composed-gpu-wait-main-only.txt"
STEPS = "for n in range(6):\n    print(f'step {n} loss 2.{n}', flush=True)\n    time.sleep(0.1)\n"
BLOCKED = "[sys.executable, '-c', 'import threading as t; o = t.Lock(); o.acquire(); o.acquire()']"
HEAD = "import os, shutil, subprocess, sys, threading, time\n"
PROGRAMS = {
    # While it waits for the GPU, `sample` is made to answer what it does of one that does.
    "healthy": f"""{HEAD}child = subprocess.Popen({BLOCKED})
{STEPS}end = time.monotonic() + 25
while time.monotonic() < end:
    sum(range(1000))
print('step 6 loss 1.5', flush=True)
shutil.copyfile({str(GPU_WAIT)!r}, os.environ['SAMPLE_TEXT'])
time.sleep(22)
os.unlink(os.environ['SAMPLE_TEXT'])
print('step 7 loss 1.0', flush=True)
child.kill()
""",
    "lock": f"{HEAD}{STEPS}one = threading.Lock()\none.acquire()\none.acquire()\n",
    "child": f"{HEAD}{STEPS}subprocess.run({BLOCKED})\n",
}


def watch(harness: tuple[str, ...], name: str, mode: str, patience: float) -> dict[str, Any]:
    """One program under `harness watch`."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, f"{name}_{mode}.py")
        script.write_text(PROGRAMS[name])
        answer = str(Path(folder, "answer.txt")) if name == "healthy" else ""
        done = subprocess.run(
            [*harness, "watch", "--patience", str(patience), "--json", "--out", folder]
            + ["--", sys.executable, str(script)],
            env={**os.environ, "MODE": mode, "SAMPLE_TEXT": answer, "IOREG_GROWS": "1",
                 "IOREG_CLIENTS": script.name},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
    if not done.stdout:
        raise SystemExit(f"watch failed with {done.returncode}: {done.stderr[-500:]}")
    (result,) = json.loads(done.stdout)["results"]
    said = [doubt["said_s"] for doubt in result["doubts"]]
    stalled, ended = result.get("stalled_at_s"), result.get("detected_at_s")
    hung = result["outcome"] == "hung" and said and stalled is not None
    return {
        "program": name,
        "mode": mode,
        "outcome": result["outcome"],
        "doubts": len(said),
        "said_after_s": round(said[-1] - stalled, 1) if hung else None,
        "stood_s": round(ended - said[-1], 1) if hung and ended is not None else None,
    }


def right(run: dict[str, Any], patience: float) -> bool:
    """True if a healthy run completed, or a stall was doubted in time and ended after the
    patience."""
    if run["program"] == "healthy":
        return bool(run["outcome"] == "completed")
    said, stood = run["said_after_s"], run["stood_s"]
    return said is not None and said <= WITHIN_S and stood is not None and stood >= patience


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=3, help="runs at once")
    parser.add_argument("--patience", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    tasks = [(name, mode) for _ in range(arguments.repeat) for mode in MODES for name in PROGRAMS]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        harness = simulated_mac.on_mac(Path(folder))
        watched = pool.map(lambda one: watch(harness, one[0], one[1], arguments.patience), tasks)
        runs = list(watched)
    rows = []
    for mode in MODES:
        for name in PROGRAMS:
            own = [run for run in runs if (run["program"], run["mode"]) == (name, mode)]
            said = [run["said_after_s"] for run in own if run["said_after_s"] is not None]
            rows.append(
                {
                    "program": name,
                    "mode": mode,
                    "runs": len(own),
                    "right": sum(right(run, arguments.patience) for run in own),
                    "outcomes": sorted({run["outcome"] for run in own}),
                    "doubts": sum(run["doubts"] for run in own),
                    "said_after_s": figures(said) if said else None,
                    "stood_s": [run["stood_s"] for run in own if run["stood_s"] is not None],
                }
            )
    head = ("mode", "program", "runs", "right", "outcomes", "said after s")
    print(table(head, [
        [row["mode"], row["program"], str(row["runs"]), str(row["right"]),
         " ".join(row["outcomes"]), "" if row["said_after_s"] is None else f"{row['said_after_s']}"]
        for row in rows
    ]))  # fmt: skip
    print(f"on {machine()}, {commit()}")
    save(arguments.out, "macos_stalls", {"patience": arguments.patience, "runs": rows})
    sys.exit(0 if all(row["right"] == row["runs"] for row in rows) else 1)


if __name__ == "__main__":
    main()
