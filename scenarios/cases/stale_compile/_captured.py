"""A training step that is compiled over the state that it writes, and not over what it reads.

`outputs` without `inputs`: what the function reads of the model and the optimizer is taken into the
compiled graph as constants, when it is traced. Each later call computes the first one's update
anew, from the parameters of the beginning. No error, and finite numbers.
"""

import itertools
from functools import partial

import mlx.core as mx


def one_batch(training):
    """One batch again and again: a loss that is learned falls, and one that stands still shows."""
    return itertools.repeat(next(training.batches()))


def compiled(training):
    return partial(mx.compile, outputs=training.state)


def evaluated(training, compiling, rebuilt=False):
    """The step, made by `compiling(function)` once or in each step; its state is evaluated."""
    model, optimizer = training.model, training.optimizer
    loss_and_grad = training.value_and_grad()

    def function(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        optimizer.update(model, gradients)
        return loss

    kept = compiling(function)

    def step(*batch):
        # MLX knows what it has compiled by the function's identity.
        made = compiling(partial(function)) if rebuilt else kept
        loss = made(*batch)
        training.phase("eval")
        mx.eval(loss, training.state)
        return loss

    return step
