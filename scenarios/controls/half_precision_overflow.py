"""A loss scaled beyond what the gradients of half precision can hold, and no check of them."""

import mlx.nn as nn
from mlx.utils import tree_map

SETTINGS = {"dtype": "float16"}
VERDICT = {
    "outcome": "diverged",
    "step": 1,
    "findings": ("loss_not_finite",),
    "says": ("float16 overflow", "(backward of step 0)"),
}
SCALE = 2.0**24


def make_step(training):
    model, optimizer = training.model, training.optimizer

    def scaled_loss(model, inputs, targets):
        return SCALE * training.loss(model, inputs, targets)

    loss_and_grad = nn.value_and_grad(model, scaled_loss)

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, tree_map(lambda g: g / SCALE, gradients))
        return loss / SCALE

    return step
