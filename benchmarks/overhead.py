"""The cost of recording for the training loop: recorded steps against bare ones, in pairs.

    python benchmarks/overhead.py [--pairs 20000] [--out FILE.json]

Both loops build the same small MLX graph in the same process; they take turns, a step each, in an
order drawn by lot, and so see the same machine. A recorded step adds exactly what the harness's
loop adds: five phases, the two lines on disk, the three memory counters and the reset of the peak.
The cost is the median over all pairs of the difference within a pair; its spread is that of the
medians of twenty blocks of pairs.

The graph is built and not evaluated. An evaluation wakes another thread, which takes 20 or 40
microseconds as it happens, several times what is to be measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mlx.core as mx
from msgspec import to_builtins

from harness.beats.file import Recorder
from harness.observe.environment import gather
from harness.stats import median, quantile

BLOCKS = 20
WARM_UP = 1000


def build(x: mx.array) -> mx.array:
    """The host's share of a step: a graph of some twenty operations."""
    for _ in range(10):
        x = mx.tanh(x) * 2
    return x.sum()


def bare(x: mx.array) -> int:
    """Nanoseconds of one step that nobody watches."""
    began = time.perf_counter_ns()
    build(x)
    return time.perf_counter_ns() - began


def recorded(x: mx.array, recorder: Recorder, step: int) -> int:
    """Nanoseconds of the same step, recorded."""
    began = time.perf_counter_ns()
    mx.reset_peak_memory()
    recorder.begin(step)
    recorder.phase("forward")
    build(x)
    recorder.phase("backward")
    recorder.phase("update")
    recorder.built()
    recorder.end(
        loss=1.0 / (1 + step),
        active=mx.get_active_memory(),
        cache=mx.get_cache_memory(),
        peak=mx.get_peak_memory(),
    )
    return time.perf_counter_ns() - began


def measure(pairs: int) -> dict[str, Any]:
    """Microseconds a step: the cost, its spread over blocks, and both medians."""
    x = mx.ones((16, 16))
    mx.eval(x)
    lot = random.Random(0)
    alone: list[int] = []
    watched: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        for step in range(WARM_UP + pairs):
            if lot.random() < 0.5:
                alone.append(bare(x))
                watched.append(recorded(x, recorder, step))
            else:
                watched.append(recorded(x, recorder, step))
                alone.append(bare(x))
        recorder.close()
    del alone[:WARM_UP], watched[:WARM_UP]
    costs = [(b - a) / 1e3 for a, b in zip(alone, watched, strict=True)]
    size = pairs // BLOCKS
    blocks = [median(costs[i : i + size]) for i in range(0, size * BLOCKS, size)]
    return {
        "cost_us": median(costs),
        "block_low_us": min(blocks),
        "block_quartiles_us": [quantile(blocks, 0.25), quantile(blocks, 0.75)],
        "block_high_us": max(blocks),
        "bare_us": median(alone) / 1e3,
        "recorded_us": median(watched) / 1e3,
        "pairs": pairs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result = measure(arguments.pairs)
    low, high = result["block_quartiles_us"]
    print(f"bare step      {result['bare_us']:8.2f} µs (median of {result['pairs']})")
    print(f"recorded step  {result['recorded_us']:8.2f} µs")
    print(
        f"recording      {result['cost_us']:8.2f} µs a step; blocks {result['block_low_us']:.2f} "
        f"to {result['block_high_us']:.2f}, quartiles {low:.2f} to {high:.2f}"
    )
    env = gather()
    print(f"on {env.platform}, {platform.processor() or env.machine}, {env.cpu_count} CPUs, "
          f"Python {env.python}, mlx {env.versions.get('mlx')}")  # fmt: skip
    if arguments.out:
        document = {"benchmark": "overhead", "result": result, "environment": to_builtins(env)}
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
