"""Clear MLX's buffer cache after every update.

Varies: `mx.clear_cache()` between the update and the reading of the loss.
Separates: almost nothing, and that is its use. It is the first thing people try; it frees
buffers that nobody holds and evaluates nothing, so no hypothesis predicts that it helps.
"""

import mlx.core as mx


def make_step(training):
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def step(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        training.phase("update")
        optimizer.update(model, gradients)
        training.phase("clear_cache")
        mx.clear_cache()
        return loss

    return step
