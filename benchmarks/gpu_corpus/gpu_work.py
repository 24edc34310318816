"""Work for an NVIDIA GPU that lasts as long as one likes, and the steps of a training before it."""

import time

import mlx.core as mx

from scenarios.controls._gpu import busy


def kernel(seconds):
    """A lazy scalar that one kernel computes for so long."""
    return busy(int(seconds * 1e9))


def steps(first, last):
    """Some short steps of a training, with their lines."""
    weights = mx.random.normal((512, 512))
    for step in range(first, last):
        weights = weights - 0.01 * (weights @ weights.T) @ weights / 512
        mx.eval(weights)
        print(f"step {step} loss {2 - step * 0.05:.3f}", flush=True)
        time.sleep(0.2)


def on_the_cpu(seconds):
    """A lazy scalar for which the CPU factorizes matrices, for so long or a little longer."""

    def factorized():
        return mx.linalg.svd(mx.random.normal((size, size)), stream=mx.cpu)[1].sum()

    size, took = 128, 0.0
    while took < 0.5:
        size = int(1.5 * size)
        began = time.monotonic()
        mx.eval(factorized())
        took = time.monotonic() - began
    return sum((factorized() for _ in range(int(seconds / took) + 1)), mx.zeros((1,)))
