"""An update of `array.at` without an index ended the process (ml-explore/mlx#2503, #2514)."""

import contextlib

import mlx.core as mx

SETTINGS = {"steps": 3}


def batches(training):
    while True:
        yield mx.array([1.0, 2.0, 3.0])


def make_step(training):
    def step(x):
        with contextlib.suppress(ValueError):
            x = x.at.add(4.0)
        return x.mean()

    return step
