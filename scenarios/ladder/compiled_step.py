"""Compile the whole step over the model's and the optimizer's state.

Varies: one compiled function; the optimizer state is created by its first call, so MLX traces it
twice, in steps 0 and 1.
Separates: retrace or JIT (slow in steps 0 and 1 only) from the hypotheses that do not care.
"""

from functools import partial

import mlx.core as mx

EXPECTS = ("double_trace",)


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()
    state = training.state

    @partial(mx.compile, inputs=state, outputs=state)
    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        optimizer.update(model, gradients)
        return loss

    return step
