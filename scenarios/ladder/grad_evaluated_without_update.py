"""Compute the gradients, evaluate them, apply no update.

Varies: no update, but the backward pass really runs.
Separates: a fault in the backward pass (stays) from one in the update (clears). Memory is 2 P.
"""

import mlx.core as mx

EXPECTS = ("parameters_unchanged",)


def make_step(training):
    model = training.model
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("eval")
        mx.eval(loss, gradients)
        training.gradients(gradients)
        return loss

    return step
