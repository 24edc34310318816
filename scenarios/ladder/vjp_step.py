"""Compute the gradients with `mx.vjp` instead of value_and_grad.

Varies: the parameters are explicit arguments; no transformed function and no module binding.
Separates: graph corruption or a leak in the value_and_grad binding (clears) from the rest.
"""

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten


def make_step(training):
    model, optimizer = training.model, training.optimizer

    def step(inputs, targets):
        names, values = zip(*tree_flatten(model.trainable_parameters()), strict=True)

        def loss_of(*values):
            model.update(tree_unflatten(list(zip(names, values, strict=True))))
            return [training.loss(model, inputs, targets)]

        (loss,), gradients = mx.vjp(loss_of, list(values), [mx.array(1.0)])
        model.update(tree_unflatten(list(zip(names, values, strict=True))))
        training.phase("update")
        optimizer.update(model, tree_unflatten(list(zip(names, gradients, strict=True))))
        return loss

    return step
