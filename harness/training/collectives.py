"""The services of a worker for its ranks: averaged gradients, and a beat for each collective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

from harness.beats.file import Recorder
from harness.model import CollectiveBeat

OPERATIONS = (
    "all_sum", "all_max", "all_min", "all_gather", "sum_scatter", "send", "recv", "recv_like"
)  # fmt: skip


def watch(recorder: Recorder) -> None:
    """Write a beat whenever one of MLX's collectives is called.

    MLX is lazy: the call puts the collective into the graph, and it runs when the graph is
    evaluated. In a compiled function it is called while MLX traces, and in later steps no more.
    """
    issued = 0

    def watched(name: str, function: Callable[..., mx.array]) -> Callable[..., mx.array]:
        def collective(*args: Any, **kwargs: Any) -> mx.array:
            nonlocal issued
            result = function(*args, **kwargs)
            # What a `recv` is given is a shape; its result is an array like any other's.
            array = args[0] if args and isinstance(args[0], mx.array) else result
            recorder.write(
                CollectiveBeat(
                    t=recorder.now(),
                    n=issued,
                    step=recorder.step,
                    op=name,
                    shape=tuple(array.shape),
                    dtype=str(array.dtype).rpartition(".")[2],
                )
            )
            issued += 1
            return result

        return collective

    for name in OPERATIONS:
        function = getattr(mx.distributed, name, None)
        if function is not None:
            setattr(mx.distributed, name, watched(name, function))


def average(optimizer: optim.Optimizer) -> None:
    """Let this optimizer apply the mean of all ranks' gradients."""
    apply = optimizer.apply_gradients

    def apply_averaged(gradients: Any, parameters: Any) -> Any:
        return apply(nn.average_gradients(gradients), parameters)

    optimizer.apply_gradients = apply_averaged
