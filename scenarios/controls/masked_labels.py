"""Every label is masked: the prompt fills the whole row, so that no token is left to learn."""

import mlx.core as mx
import mlx.nn as nn

VERDICT = {
    "outcome": "completed",
    "findings": ("labels_masked", "gradients_zero"),
}
PROMPT = 64


def make_step(training):
    model, optimizer = training.model, training.optimizer

    def loss(model, inputs, targets, mask):
        losses = nn.losses.cross_entropy(model(inputs).astype(mx.float32), targets) * mask
        return losses.sum() / mx.maximum(mask.sum(), 1)

    loss_and_grad = nn.value_and_grad(model, loss)

    def step(inputs, targets, mask):
        value, gradients = loss_and_grad(model, inputs, targets, mask)
        training.phase("update")
        optimizer.update(model, gradients)
        return value

    return step


def batches(training):
    for inputs, targets in training.batches():
        # As it is meant, the prompt is shorter than a row.
        mask = mx.arange(inputs.shape[1]) >= PROMPT
        yield inputs, targets, mx.broadcast_to(mask, targets.shape)
