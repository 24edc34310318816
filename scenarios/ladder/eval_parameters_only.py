"""Evaluate the parameters in every step, but not the optimizer state.

Varies: half of what eval_after_update evaluates.
Separates: as eval_after_update; what then still remains pending is optimizer state alone.
"""

import mlx.core as mx


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        training.phase("eval")
        mx.eval(loss, model.parameters())
        return loss

    return step
