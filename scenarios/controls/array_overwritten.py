"""The step overwrites its parameters' memory through NumPy while its loss is still to be read.

A weight decay that is meant to be in place: `np.asarray(memoryview(...))` is no copy, and MLX does
not know of what is written there. The loss that was built before reads what came after.
"""

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

VERDICT = {"outcome": "completed", "findings": ("check_failed",)}
DECAY = 0.99


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        before = training.loss(model, inputs, targets).item()
        loss, gradients = loss_and_grad(model, inputs, targets)
        for _, parameter in tree_flatten(model.trainable_parameters()):
            np.asarray(memoryview(parameter))[...] *= DECAY
        training.phase("update")
        optimizer.update(model, gradients)
        training.phase("eval")
        mx.eval(model.parameters(), optimizer.state)
        training.check("stale_loss", loss.item(), before)
        return loss

    return step
