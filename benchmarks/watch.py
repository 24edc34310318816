"""What `harness watch` costs a training by mlx-lm's ordinary command line.

    python benchmarks/watch.py [--pairs 8] [--iters 600] [--quick] [--out FILE.json]

Each pair trains the same small model folder twice, with and without `harness watch`, one after the
other and in an order drawn by lot. Compared are the time between the first report and the last,
which is the training's own, and the time from start to exit, to which the watching adds its own
start and its report. The losses that are printed must be the same, and the watched run must have
seen each step.

Measure: at most 2 % slower.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save, table
from harness.beatfile import read_beats
from harness.model import StepBeat
from harness.stats import median
from tests import mlxlm_folder

REPORT = re.compile(
    rb"^\s*(?:\x1b\[[0-9;]*m)*\s*(\d+)(?:\x1b\[[0-9;]*m)*\s+(?:\x1b\[[0-9;]*m)*([\d.]+) [^ ]"
)
LAYERS, WIDTH = 4, 128
ROOT = Path(__file__).resolve().parents[1]


def train(folder: Path, iters: int, watched: bool) -> dict[str, Any]:
    """One training: its seconds, what it printed of its losses, and the steps that were seen."""
    out = folder / "reports"
    watch = [sys.executable, "-m", "harness", "watch", "-q", "--out", str(out), "--"]
    command = [
        *(watch if watched else []),
        *(sys.executable, "-m", "mlx_lm", "lora", "--train"),
        *("--model", str(folder / "model"), "--data", str(folder / "data")),
        *("--iters", str(iters), "--num-layers", str(LAYERS), "--batch-size", "4"),
        *("--steps-per-report", "10", "--steps-per-eval", str(iters), "--val-batches", "1"),
        *("--adapter-path", str(folder / "adapters")),
    ]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert process.stdout is not None
    reports = []
    for line in process.stdout:
        if found := REPORT.match(line):
            reports.append((time.monotonic(), int(found[1]), float(found[2])))
    if process.wait():
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}")
    seen = None
    if watched:
        (run,) = out.iterdir()
        (beats,) = run.glob("*/0/beats.jsonl")
        seen = sum(isinstance(beat, StepBeat) for beat in read_beats(beats.parent))
        run.rename(folder / run.name)
    return {
        "whole_s": time.monotonic() - began,
        "training_s": reports[-1][0] - reports[0][0],
        "losses": [loss for _, _, loss in reports],
        "seen": seen,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--iters", type=int, default=600)
    parser.add_argument("--quick", action="store_true", help="one pair of 40 iterations")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pairs, iters = (1, 40) if arguments.quick else (arguments.pairs, arguments.iters)
    print(machine())
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mlxlm_folder.write(folder, LAYERS, WIDTH)
        train(folder, 40, watched=True)  # whatever is compiled or cached once
        for _ in range(pairs):
            order = random.sample((False, True), 2)
            runs = {watched: train(folder, iters, watched) for watched in order}
            if runs[True]["losses"] != runs[False]["losses"]:
                raise SystemExit("the losses differ")
            if runs[True]["seen"] != iters:
                raise SystemExit(f"{runs[True]['seen']} of {iters} steps were seen")
            found.append(
                {key: (runs[False][key], runs[True][key]) for key in ("training_s", "whole_s")}
            )
            print(json.dumps(found[-1]), flush=True)
    rows, result = [], {"iters": iters, "pairs": found}
    for key, title in (("training_s", "first to last report"), ("whole_s", "start to exit")):
        slower = sorted(100 * (after / before - 1) for before, after in (one[key] for one in found))
        result[f"{key}_slower_percent"] = slower
        rows.append(
            [
                title,
                *(f"{median([one[key][i] for one in found]):.2f} s" for i in (0, 1)),
                f"{median(slower):+.2f} %",
                f"{slower[0]:+.2f} to {slower[-1]:+.2f} %",
            ]
        )
    print(table(["", "alone", "watched", "slower", "spread"], rows))
    save(arguments.out, "watch", result)


if __name__ == "__main__":
    main()
