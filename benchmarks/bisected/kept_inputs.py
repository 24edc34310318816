"""Inputs of `mx.value_and_grad` that its function keeps grew by a copy each call
(ml-explore/mlx#3290)."""

import mlx.core as mx
import mlx.nn as nn

SETTINGS = {"steps": 60}
LAYERS = 8


class Averaged(nn.Module):
    """A weight, and averages that are handed from step to step and that the loss does not need."""

    def __init__(self):
        super().__init__()
        self.weight = mx.random.normal((16, 16))
        self.averages = [mx.zeros((16, 16)) for _ in range(LAYERS)]

    def __call__(self, x):
        return x @ self.weight


def batches(training):
    while True:
        yield mx.ones((4, 16))


def make_step(training):
    model = Averaged()
    training.watch(model)

    def loss(weight, x, *averages):
        model.averages, model.weight = list(averages), weight
        return mx.square(model(x)).mean()

    value_and_grad = mx.value_and_grad(loss)

    def step(x):
        value, gradient = value_and_grad(model.weight, x, *model.averages)
        model.weight = model.weight - 1e-3 * gradient
        mx.eval(value, model.weight)
        return value

    return step
