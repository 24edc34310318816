"""Drop the compiled step and compile it anew in every step.

Varies: the compiled function's lifetime. Nothing compiled is older than its step.
Separates: a stale compile cache (the symptom clears) from everything else (it stays, and a
retrace problem gets worse).
"""

from functools import partial

import mlx.core as mx

EXPECTS = ("retrace_every_step",)


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()
    state = training.state

    def step(inputs, targets):
        @partial(mx.compile, inputs=state, outputs=state)
        def rebuilt(inputs, targets):
            loss, gradients = loss_and_grad(model, inputs, targets)
            optimizer.update(model, gradients)
            return loss

        return rebuilt(inputs, targets)

    return step
