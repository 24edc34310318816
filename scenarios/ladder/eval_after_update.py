"""Evaluate the parameters and the optimizer state in the step that made them.

Varies: nothing is left pending from one step to the next.
Separates: deferred work (the step-1 jump clears) and memory (the stall moves to step 0) from a
stale compile cache or a deadlock (both stay).
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
        mx.eval(loss, model.parameters(), optimizer.state)
        return loss

    return step
