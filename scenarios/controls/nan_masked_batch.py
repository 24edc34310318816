"""A batch whose labels are all masked: the mean of no losses is 0/0."""

import mlx.core as mx
import mlx.nn as nn

VERDICT = {
    "outcome": "diverged",
    "step": 4,
    "findings": ("loss_not_finite",),
    "says": ("0/0, where the divisor is the sum of 2 x 32 zeros", "(forward)"),
}


def make_step(training):
    model, optimizer = training.model, training.optimizer

    def masked_loss(model, inputs, targets, mask):
        losses = nn.losses.cross_entropy(model(inputs), targets) * mask
        return losses.sum() / mask.sum()

    loss_and_grad = nn.value_and_grad(model, masked_loss)

    def step(inputs, targets):
        answered = mx.full(targets.shape, float(training.step != 4))
        loss, gradients = loss_and_grad(model, inputs, targets, answered)
        training.phase("update")
        optimizer.update(model, gradients)
        return loss

    return step
