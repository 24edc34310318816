"""An optimizer that keeps its moments in half precision: the second one and eps round to 0.

Loss and gradients are finite, and the update divides 0 by 0.
"""

import mlx.nn as nn
import mlx.optimizers as optim

SETTINGS = {"dtype": "float16"}
VERDICT = {
    "outcome": "diverged",
    "step": 1,
    "findings": ("loss_not_finite", "parameters_not_finite"),
    "says": ("a division of", "by 0", "(update of step 0)"),
}


def make_step(training):
    model = training.model
    optimizer = optim.Adam(1e-3, eps=1e-8)
    training.watch(model, optimizer)

    loss_and_grad = nn.value_and_grad(model, training.loss)

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        return loss

    return step
