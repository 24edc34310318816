"""The cost of what a rank writes for each collective: a worker a beat, a watched command an entry.

    python benchmarks/collectives.py [--blocks 40] [--calls 2000] [--out FILE.json]

One process alone: a group of one returns its array as it is, so that the call itself is next to
nothing. To the hook it says that it is one of two. Blocks of calls with and without follow each
other, in an order drawn by lot.

Measure: at most 20 microseconds each.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mlx.core as mx

from benchmarks.common import machine, save, table
from harness.beats.file import Recorder, read_beats
from harness.inject.inside import collectives as hook
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
        hooked = by_the_hook(folder)
        recorder = Recorder(Path(folder))
        collectives.watch(recorder)
        watched = mx.distributed.all_sum
        costs: list[float] = []
        entries: list[float] = []
        for _ in range(arguments.blocks):
            taken: dict[Callable[..., mx.array], float] = {}
            for function in random.sample((plain, watched, hooked), 3):
                mx.distributed.all_sum = function
                taken[function] = block(arguments.calls, array)
            costs.append(taken[watched] - taken[plain])
            entries.append(taken[hooked] - taken[plain])
        recorder.close()
        written = sum(isinstance(beat, CollectiveBeat) for beat in read_beats(Path(folder)))
    if written != arguments.blocks * arguments.calls:
        raise SystemExit(f"{written} beats, not one for each call")
    kinds = {"beat": figures(costs), "entry": figures(entries)}
    rows = [[kind, *(f"{value:.2f} us" for value in of.values())] for kind, of in kinds.items()]
    print(table(("a collective's", "median", "least", "most", "p99"), rows))
    print(f"on {machine()}")
    told = {"calls": arguments.calls, "us": costs, "entry_us": entries}
    save(arguments.out, "collectives", {**told, **kinds["beat"], "entry": kinds["entry"]})


def figures(costs: Sequence[float]) -> dict[str, float]:
    return {
        "median_us": median(costs),
        "lowest_us": min(costs),
        "highest_us": max(costs),
        "p99_us": quantile(costs, 0.99),
    }


class OfTwo:
    """A group of two ranks, as far as the hook asks it."""

    @staticmethod
    def size() -> int:
        return 2


def by_the_hook(folder: str) -> Callable[..., mx.array]:
    """`all_sum` as it is in a rank of a watched command."""
    os.environ["MLX_RANK"] = "0"
    distributed = SimpleNamespace(all_sum=mx.distributed.all_sum, init=OfTwo)
    hook.wrap(SimpleNamespace(distributed=distributed), folder)
    wrapped: Callable[..., mx.array] = distributed.all_sum
    return wrapped


if __name__ == "__main__":
    main()
