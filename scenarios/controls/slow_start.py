"""Healthy: the learning rate begins at 0, and only every second step has an update."""

import mlx.optimizers as optim
from mlx.utils import tree_map

VERDICT = {"outcome": "completed"}


def make_step(training):
    model = training.model
    optimizer = optim.Adam(optim.linear_schedule(0.0, 1e-3, 100))
    training.watch(model, optimizer)
    loss_and_grad = training.value_and_grad()
    held = []

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        held.append(gradients)
        if len(held) == 2:
            training.phase("update")
            optimizer.update(model, tree_map(lambda a, b: (a + b) / 2, *held))
            held.clear()
        return loss

    return step
