"""What recording costs the training loop: recorded steps against bare ones, in pairs.

    python benchmarks/overhead.py [--pairs 20000] [--out FILE.json]

Both loops run the same small MLX step in the same process; they take turns, a step each, and so
see the same machine. A recorded step is exactly what the harness's loop adds: five phases, the two
lines on disk, the three memory counters. The cost is the difference of the two medians; its spread
is that of the medians of twenty blocks of pairs.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mlx.core as mx
from msgspec import to_builtins

from harness.beats import Recorder
from harness.environment import gather
from harness.stats import median, quantile

BLOCKS = 20


def bare(x: mx.array) -> float:
    """Nanoseconds of one step that nobody watches."""
    began = time.perf_counter_ns()
    loss = (x * 2 + 1).sum()
    loss.item()
    return time.perf_counter_ns() - began


def recorded(x: mx.array, recorder: Recorder, step: int) -> float:
    """Nanoseconds of the same step, recorded."""
    began = time.perf_counter_ns()
    mx.reset_peak_memory()
    recorder.begin(step)
    recorder.phase("forward")
    loss = (x * 2 + 1).sum()
    recorder.phase("backward")
    recorder.phase("update")
    recorder.built()
    value = loss.item()
    recorder.end(
        loss=value,  # type: ignore[arg-type]
        active=mx.get_active_memory(),
        cache=mx.get_cache_memory(),
        peak=mx.get_peak_memory(),
    )
    return time.perf_counter_ns() - began


def measure(pairs: int) -> dict[str, Any]:
    """Microseconds a step: the cost, its spread over blocks, and both medians."""
    x = mx.ones((16, 16))
    alone: list[float] = []
    watched: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        for step in range(1000 + pairs):
            alone.append(bare(x))
            watched.append(recorded(x, recorder, step))
        recorder.close()
    del alone[:1000], watched[:1000]
    size = pairs // BLOCKS
    costs = [
        (median(watched[i : i + size]) - median(alone[i : i + size])) / 1e3
        for i in range(0, size * BLOCKS, size)
    ]
    return {
        "cost_us": (median(watched) - median(alone)) / 1e3,
        "block_low_us": min(costs),
        "block_quartiles_us": [quantile(costs, 0.25), quantile(costs, 0.75)],
        "block_high_us": max(costs),
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
