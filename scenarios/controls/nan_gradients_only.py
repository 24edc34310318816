"""The loss is finite, its gradients are not, and updates with such gradients are skipped.

The loss holds the distance of a weight from where it began, which is 0: a square root has no
slope there. The trainer protects its parameters, prints a good loss, and learns nothing.
"""

import math

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

VERDICT = {
    "outcome": "diverged",
    "step": 0,
    "findings": ("gradients_not_finite", "parameters_unchanged"),
    "says": ("the slope of sqrt at 0 at nan_gradients_only.py", "(backward)"),
}


def make_step(training):
    model, optimizer = training.model, training.optimizer
    began = model.model.norm.weight

    def loss_with_penalty(model, inputs, targets):
        distance = mx.sqrt(mx.square(model.model.norm.weight - began).sum())
        return training.loss(model, inputs, targets) + 0.01 * distance

    loss_and_grad = nn.value_and_grad(model, loss_with_penalty)

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.gradients(gradients)
        if all(math.isfinite(g.sum().item()) for _, g in tree_flatten(gradients)):
            training.phase("update")
            optimizer.update(model, gradients)
        return loss

    return step
