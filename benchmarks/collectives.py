"""The cost of the beat that a rank writes for each collective.

    python benchmarks/collectives.py [--blocks 40] [--calls 2000] [--out FILE.json]

One process alone: a group of one returns its array as it is, so that the call itself is next to
nothing. Blocks of calls with and without beats follow each other, in an order drawn by lot.

Measure: at most 20 microseconds each.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mlx.core as mx

from benchmarks.common import machine, save, table
from harness.beats.file import Recorder, read_beats
from harness.model import CollectiveBeat
from harness.stats import median, quantile
from harness.training import collectives


def block(calls: int, array: mx.array) -> float:
    """Microseconds of a call."""
    began = time.perf_counter()
    for _ in range(calls):
        mx.distributed.all_sum(array)
    return (time.perf_counter() - began) / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    array = mx.ones((128, 128))
    plain = mx.distributed.all_sum
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        collectives.watch(recorder)
        watched = mx.distributed.all_sum
        costs = []
        for _ in range(arguments.blocks):
            taken: dict[Callable[..., mx.array], float] = {}
            for function in random.sample((plain, watched), 2):
                mx.distributed.all_sum = function
                taken[function] = block(arguments.calls, array)
            costs.append(taken[watched] - taken[plain])
        recorder.close()
        written = sum(isinstance(beat, CollectiveBeat) for beat in read_beats(Path(folder)))
    if written != arguments.blocks * arguments.calls:
        raise SystemExit(f"{written} beats, not one for each call")
    figures = {
        "median_us": median(costs),
        "lowest_us": min(costs),
        "highest_us": max(costs),
        "p99_us": quantile(costs, 0.99),
    }
    cells = [f"{value:.2f} us" for value in figures.values()]
    print(table(("a collective's beat costs", "least", "most", "p99"), [cells]))
    print(f"on {machine()}")
    save(arguments.out, "collectives", {"calls": arguments.calls, "us": costs, **figures})


if __name__ == "__main__":
    main()
