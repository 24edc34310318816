"""The cost of recording for the training loop: recorded steps against bare ones, in pairs.

    python benchmarks/overhead.py [--pairs 20000] [--out FILE.json]

Both loops build the same small MLX graph in the same process; they take turns, a step each, in an
order drawn by lot, and so see the same machine. A recorded step adds exactly what the harness's
loop adds: five phases, the two lines on disk, the three memory counters and the reset of the peak;
and what the following of the learning adds: the batch and its shapes are seen, and the gradient
function and the optimizer's `apply_gradients` are wrapped.
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
import mlx.optimizers as optim
from msgspec import to_builtins

from harness.beats.file import Recorder
from harness.inject.inside.inputs import Inputs
from harness.inject.inside.kept_batches import KeptBatches
from harness.inject.inside.taps import Taps
from harness.observe.environment import gather
from harness.stats import median, quantile

BLOCKS = 20
WARM_UP = 1000


class Idle(optim.Optimizer):  # type: ignore[misc]
    """It leaves each parameter as it is: what is measured lies around it."""

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None: ...

    def apply_single(
        self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]
    ) -> mx.array:
        return parameter


class Training:
    """A training of which a step makes a graph and evaluates nothing. Its functions are wrapped if
    they are made while taps are installed."""

    def __init__(self) -> None:
        self.gradient = mx.grad(lambda x: x.sum())
        self.apply = optim.Optimizer.apply_gradients
        self.optimizer = Idle()

    def build(self, x: mx.array) -> mx.array:
        """The host's share of a step: a graph of some twenty operations, and its update."""
        for _ in range(10):
            x = mx.tanh(x) * 2
        self.apply(self.optimizer, {"a": self.gradient(x)}, {"a": x})
        return x.sum()


def bare(x: mx.array, training: Training) -> int:
    """Nanoseconds of one step that nobody watches."""
    began = time.perf_counter_ns()
    training.build(x)
    return time.perf_counter_ns() - began


def recorded(
    x: mx.array,
    training: Training,
    recorder: Recorder,
    batches: KeptBatches,
    seen: Inputs,
    step: int,
) -> int:
    """Nanoseconds of the same step, recorded and followed."""
    began = time.perf_counter_ns()
    mx.reset_peak_memory()
    recorder.begin(step)
    batches.see((x, x))
    shapes, size = seen.look((x, x))
    recorder.phase("forward")
    training.build(x)
    recorder.phase("backward")
    recorder.phase("update")
    recorder.built()
    recorder.end(
        loss=1.0 / (1 + step),
        active=mx.get_active_memory(),
        cache=mx.get_cache_memory(),
        peak=mx.get_peak_memory(),
        shapes=shapes,
        inputs=size,
    )
    return time.perf_counter_ns() - began


def measure(pairs: int) -> dict[str, Any]:
    """Microseconds a step: the cost, its spread over blocks, and both medians."""
    x = mx.ones((16, 16))
    mx.eval(x)
    plain = Training()
    taps = Taps().install()
    followed, batches, seen = Training(), KeptBatches(), Inputs()
    lot = random.Random(0)
    alone: list[int] = []
    watched: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        for step in range(WARM_UP + pairs):
            if lot.random() < 0.5:
                alone.append(bare(x, plain))
                watched.append(recorded(x, followed, recorder, batches, seen, step))
            else:
                watched.append(recorded(x, followed, recorder, batches, seen, step))
                alone.append(bare(x, plain))
        recorder.close()
    taps.remove()
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
