"""Small training steps under the probe, in one process; prints as JSON what each was found to be.

To be run by itself: the probe changes mlx.core for good.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import mlx.core as mx

from harness.inject.inside import locate, operations, tape

SWITCH = operations.install(mx)

# Like a program that was imported after that.
import mlx.nn as nn  # noqa: E402
import mlx.optimizers as optim  # noqa: E402
from mlx.core import log  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402

X = mx.array([[0.5, 2.0], [0.0, 1.0], [3.0, 0.25]])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.second = nn.Linear(4, 2)

    def __call__(self, x):
        return self.second(nn.gelu(self.first(x)))


class Bad(nn.Module):
    """Divides by what its layer gives, which is 0."""

    def __init__(self):
        super().__init__()
        self.layers = [Net(), Net()]
        self.layers[1].second.weight = mx.zeros((2, 4))
        self.layers[1].second.bias = mx.zeros((2,))

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return 1 / x


def named_import(model, x):
    return log(model(x).square() * 0).sum()


def in_place(model, x):
    total = model(x)
    total += 1
    total *= 0
    return mx.log(total).sum()


def assigned(model, x):
    hidden = model(x).square() + 1
    hidden[1] = 0
    return mx.log(hidden).sum()


def added_at(model, x):
    hidden = mx.zeros((3, 2)).at[mx.array([0, 2])].add(model(x)[:2].square() + 1)
    return mx.log(hidden).sum()


def iterated(model, x):
    return sum(mx.log(row[0]) for row in model(x) * 0)


def backward_in_place(model, x):
    hidden = model(x) * (x > 0)
    hidden += 0
    return mx.sqrt(hidden.square().sum(axis=-1) * mx.array([1.0, 0.0, 1.0])).sum()


def checkpointed(model, x):
    def block(parameters, x):
        model.update(parameters)
        hidden = model(x).square() * mx.array([[1.0], [0.0], [1.0]])
        return mx.sqrt(hidden)

    return mx.checkpoint(block)(model.trainable_parameters(), x).sum()


def mapped(model, x):
    return mx.vmap(lambda row: mx.log(row.sum() * 0))(model(x)).sum()


def custom(model, x):
    @mx.custom_function
    def same(x):
        return x

    @same.vjp
    def gone(primals, cotangents, outputs):
        return cotangents / 0

    return same(model(x)).sum()


def custom_inside(model, x):
    @mx.custom_function
    def loss_of(x):
        return mx.log(x.square() * 0)

    return loss_of(model(x)).sum()


def custom_kernel(model, x):
    """Stands for a kernel, whose result no operation computed."""

    @mx.custom_function
    def kernel(x):
        return mx.array([[mx.nan, 1.0]])

    @kernel.vjp
    def back(primals, cotangents, outputs):
        return mx.zeros((3, 2))

    return kernel(model(x)).sum()


def custom_kernel_back(model, x):
    @mx.custom_function
    def kernel(x):
        return x * 1

    @kernel.vjp
    def back(primals, cotangents, outputs):
        return mx.array([[mx.inf, 1.0]] * 3)

    return kernel(model(x)).sum()


def custom_healthy(model, x):
    @mx.custom_function
    def clipped(x, limit):
        return mx.minimum(x, limit)

    @clipped.vjp
    def through(primals, cotangents, outputs):
        return cotangents, mx.zeros_like(primals[1])

    @mx.custom_function
    def squared(x):
        return x.square()

    return squared(clipped(model(x), mx.array(1.0))).sum()


def added_up(model, x):
    """Two cotangents that are finite, and whose sum is not."""
    small = model(x).sum() * 0
    return small * 3e38 + small * 3e38


def masked(model, x):
    """A mask, which is healthy, and a log of 0 that comes later."""
    scores = mx.where(mx.tri(2) > 0, model(x)[:, None, :], -mx.inf)
    return mx.softmax(scores, axis=-1).sum() + mx.log(x).sum()


def healthy(model, x):
    """Infinities that never reach the loss."""
    scores = mx.where(mx.tri(2) > 0, model(x)[:, None, :], -mx.inf)
    far = 1 / (1 + mx.exp(1e4 * mx.abs(x)))
    return (mx.softmax(scores, axis=-1) @ x[..., None]).square().mean() + far.sum()


def gradients_scaled(model, x):
    return model(x).square().mean()


def found(loss, x=X, model=None, change=None, steps=1, probe=0):
    """The answer for some steps with `loss`; None where all was well."""
    mx.random.seed(1)
    model = model or Net()
    optimizer = optim.Adam(1e-2)
    loss_and_grad = nn.value_and_grad(model, loss)

    def state():
        arrays = {f"parameter {name}": a for name, a in tree_flatten(model.parameters())}
        kept = {f"state {name}": a for name, a in tree_flatten(optimizer.state)}
        return arrays | {name: a for name, a in kept.items() if isinstance(a, mx.array)}

    with tempfile.TemporaryDirectory() as folder:
        locator = locate.Locator(mx, SWITCH, folder, probe, steps - 1, True)
        for step in range(steps):
            locator.begin(step, state())
            locator.batch((x,))
            value, gradients = loss_and_grad(model, x)
            if change is not None:
                gradients = change(gradients)
            optimizer.update(model, gradients)
            if locator.end(value, state()):
                return json.loads((Path(folder) / locate.ORIGIN).read_bytes())
    return None


def losses(probed):
    """The losses of a healthy training."""
    mx.random.seed(2)
    model, optimizer = Net(), optim.AdamW(1e-2)
    loss_and_grad = nn.value_and_grad(model, healthy)
    made = []
    for _ in range(4):
        one = tape.Tape(SWITCH, mx)
        SWITCH.tape = one if probed else None
        value, gradients = loss_and_grad(model, X)
        optimizer.update(model, gradients)
        SWITCH.tape = None
        one.settle()
        one.end()
        made.append(value.item())
    return made


def divided(gradients):
    weight = gradients["first"]["weight"]
    gradients["first"]["weight"] = weight / (weight.sum() * 0)
    return gradients


def with_nan():
    model = Net()
    model.first.bias = model.first.bias + mx.array([0, mx.nan, 0, 0])
    return model


def cases():
    found_in = {
        loss.__name__: found(loss)
        for loss in (named_import, in_place, assigned, added_at, iterated, backward_in_place,
                     checkpointed, mapped, masked, healthy, custom, custom_inside, custom_kernel,
                     custom_kernel_back, custom_healthy, added_up)
    }  # fmt: skip
    found_in["module"] = found(lambda model, x: model(x).sum(), model=Bad())
    found_in["batch"] = found(gradients_scaled, x=mx.array([[1.0, mx.nan], [0.0, 1.0]]))
    found_in["parameter"] = found(gradients_scaled, model=with_nan())
    found_in["gradients"] = found(gradients_scaled, change=divided)
    found_in["earlier"] = found(gradients_scaled, change=divided, steps=3, probe=2)
    return found_in


def main():
    small = cases()
    tape.LARGE = tape.GROUP = 1  # each operation is looked at by itself, and let go of
    told = {"cases": small, "large": cases(), "losses": [losses(False), losses(True)]}
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
