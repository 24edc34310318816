"""A loss that takes the log of a probability, which is 0 for one row of one batch.

The replay must name the operation, its line, and the row.
"""

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

VERDICT = {
    "outcome": "diverged",
    "step": 6,
    "findings": ("loss_not_finite",),
    "says": ("log of 0 at nan_log_of_zero.py", "(forward)"),
}


def make_step(training):
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = optim.Adam(1e-3)
    training.watch(model, optimizer)

    def loss(model, x, target):
        probabilities = mx.softmax(model(x), axis=-1) * target
        return -mx.log(probabilities.sum(axis=-1)).mean()

    loss_and_grad = nn.value_and_grad(model, loss)

    def step(x, target):
        value, gradients = loss_and_grad(model, x, target)
        training.phase("update")
        optimizer.update(model, gradients)
        return value

    return step


def batches(training):
    classes = mx.eye(4)
    for step in range(training.settings.steps):
        target = classes[mx.random.randint(0, 4, (4,))]
        if step == 6:
            # A label that is none of the classes.
            target = mx.where(mx.arange(4)[:, None] == 2, 0.0, target)
        yield mx.random.normal((4, 8)), target
