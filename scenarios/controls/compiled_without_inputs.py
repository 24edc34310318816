"""A compiled step gives its state out and does not take it in: each call begins anew."""

from functools import partial

import mlx.core as mx

VERDICT = {"outcome": "completed", "findings": ("state_not_compiled",)}


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()
    optimizer.init(model.trainable_parameters())
    state = training.state

    @partial(mx.compile, outputs=state)
    def compiled(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        optimizer.update(model, gradients)
        return loss

    def step(inputs, targets):
        loss = compiled(inputs, targets)
        mx.eval(loss, state)
        return loss

    return step
