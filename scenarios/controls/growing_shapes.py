"""Each batch has a length that none had before: the compiled step is traced and kept for each."""

from functools import partial

import mlx.core as mx

SETTINGS = {"steps": 24, "seq_len": 32}
VERDICT = {"outcome": "completed", "findings": ("shapes_growth", "retrace_every_step")}


def batches(training):
    source = training.batches()
    while True:
        length = 8 + training.step
        inputs, targets = next(source)
        yield inputs[:, :length], targets[:, :length]


def make_step(training):
    model, optimizer = training.model, training.optimizer
    optimizer.init(model.trainable_parameters())
    loss_and_grad = training.value_and_grad()

    @partial(mx.compile, inputs=training.state, outputs=training.state)
    def compiled(inputs, targets):
        loss, gradients = loss_and_grad(model, inputs, targets)
        optimizer.update(model, gradients)
        return loss

    return compiled
