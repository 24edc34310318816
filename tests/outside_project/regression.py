"""The project: a line through points, fitted by gradient descent."""

import mlx.core as mx
import mlx.nn as nn


def points(count, seed=0):
    """`count` values of x in (count, 1), and of y = 3 x - 1 in the same shape."""
    x = mx.random.normal((count, 1), key=mx.random.key(seed))
    return x, 3 * x - 1


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def __call__(self, x):
        return self.linear(x)


def loss(model, x, y):
    return nn.losses.mse_loss(model(x), y)


def make_update(model, optimizer):
    loss_and_grad = nn.value_and_grad(model, loss)

    def update(x, y):
        value, gradients = loss_and_grad(model, x, y)
        optimizer.update(model, gradients)
        return value

    return update
