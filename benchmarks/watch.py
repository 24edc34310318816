"""The cost of `harness watch` for a training by mlx-lm's ordinary command line.

    python benchmarks/watch.py [--pairs 8] [--iters 600] [--cores 2] [--lanes 1] [--quick]
                               [--out FILE.json]

Each pair trains the same small model folder twice, with and without `harness watch`, one after the
other and in an order drawn by lot. Compared are the time between the first report and the last,
which is the training's own, and what comes before and after it, to which the watching adds its own
start and its report. The losses that are printed must be the same, and the watched run must have
seen each step. Each lane is a process of its own that is bound to so many cores.

Measure: the training at most 2 % slower. The interval is that of the median, from the order of the
pairs alone.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import figures, machine, save, table
from harness.beats.file import read_beats
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
        (run,) = out.glob("*-*")
        (beats,) = run.glob("*/0/beats.jsonl")
        seen = sum(isinstance(beat, StepBeat) for beat in read_beats(beats.parent))
        run.rename(folder / run.name)
    return {
        "whole_s": time.monotonic() - began,
        "training_s": reports[-1][0] - reports[0][0],
        "losses": [loss for _, _, loss in reports],
        "seen": seen,
    }


def pair(folder: Path, iters: int) -> dict[str, tuple[float, float]]:
    """Seconds of one training alone and of one that is watched: the training, and all the rest."""
    order = random.sample((False, True), 2)
    runs = {watched: train(folder, iters, watched) for watched in order}
    if runs[True]["losses"] != runs[False]["losses"]:
        raise SystemExit("the losses differ")
    if runs[True]["seen"] != iters:
        raise SystemExit(f"{runs[True]['seen']} of {iters} steps were seen")
    rest = {watched: one["whole_s"] - one["training_s"] for watched, one in runs.items()}
    return {
        "training_s": (runs[False]["training_s"], runs[True]["training_s"]),
        "rest_s": (rest[False], rest[True]),
    }


def lane(pairs: int, iters: int, cores: Sequence[int]) -> list[dict[str, tuple[float, float]]]:
    """Run so many pairs, one after the other, on these cores."""
    if cores:
        os.sched_setaffinity(0, cores)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mlxlm_folder.write(folder, LAYERS, WIDTH)
        train(folder, 40, watched=True)  # whatever is compiled or cached once
        return [pair(folder, iters) for _ in range(pairs)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % confidence interval of the median, from order statistics; all there is of too few."""
    count = len(values)
    below, outside = 0.0, 0
    while (below := below + math.comb(count, outside) / 2**count) <= 0.025:
        outside += 1
    ordered = sorted(values)
    low = max(0, outside - 1)
    return ordered[low], ordered[count - 1 - low]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=8, help="of each lane")
    parser.add_argument("--iters", type=int, default=600)
    parser.add_argument(
        "--cores", type=int, default=2, help="of each lane, where there are several"
    )
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one pair of 40 iterations")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    pairs, iters = (1, 40) if arguments.quick else (arguments.pairs, arguments.iters)
    print(machine())
    lanes, width = arguments.lanes, arguments.cores
    cores = [range(i * width, (i + 1) * width) if lanes > 1 else () for i in range(lanes)]
    with ProcessPoolExecutor(lanes, mp_context=get_context("spawn")) as pool:
        found = list(chain.from_iterable(pool.map(lane, [pairs] * lanes, [iters] * lanes, cores)))
    slower = [100 * (after / before - 1) for before, after in (one["training_s"] for one in found)]
    added = [after - before for before, after in (one["rest_s"] for one in found)]
    rows = [
        row("training", "training_s", found, slower, "%"),
        row("start, validation, end", "rest_s", found, added, "s"),
    ]
    print(table(["", "alone", "watched", "slower", "95 % interval", "of all pairs"], rows))
    result = {
        "iters": iters,
        "lanes": lanes,
        "pairs": len(found),
        "training_alone_s": figures([one["training_s"][0] for one in found]),
        "training_slower_percent": {"median": median(slower), "interval": interval(slower)},
        "rest_longer_s": {"median": median(added), "interval": interval(added)},
    }
    save(arguments.out, "watch", result)


def row(
    title: str,
    key: str,
    found: Sequence[dict[str, tuple[float, float]]],
    more: Sequence[float],
    unit: str,
) -> list[str]:
    low, high = interval(more)
    return [
        title,
        *(f"{median([one[key][i] for one in found]):.2f} s" for i in (0, 1)),
        f"{median(more):+.2f} {unit}",
        f"{low:+.2f} to {high:+.2f} {unit}",
        f"{min(more):+.2f} to {max(more):+.2f} {unit}",
    ]


if __name__ == "__main__":
    main()
