"""Apply the optimizer to made-up gradients and evaluate the result.

Varies: the update really runs, the backward pass does not.
Separates: a fault in the update (stays) from one in the backward pass (clears). Together with
grad_evaluated_without_update it says what grad_without_update alone cannot.
"""

import mlx.core as mx
from mlx.utils import tree_map


def make_step(training):
    model, optimizer = training.model, training.optimizer

    def step(inputs, targets):
        loss = training.loss(model, inputs, targets)
        gradients = tree_map(
            lambda p: mx.full(p.shape, 1e-3, p.dtype), model.trainable_parameters()
        )
        training.phase("update")
        optimizer.update(model, gradients)
        training.phase("eval")
        mx.eval(loss, model.parameters(), optimizer.state)
        return loss

    return step
