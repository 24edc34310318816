"""Healthy: a validation and a checkpoint that take twenty seconds between them."""

import os
import tempfile
import time

import mlx.core as mx
from baseline_update import make_step as make_baseline

VERDICT = {"outcome": "completed"}
SECONDS = 10
"""Each of the two."""


def make_step(training):
    baseline, model = make_baseline(training), training.model

    def validate():
        until = time.monotonic() + SECONDS
        for inputs, targets in training.batches():
            mx.eval(training.loss(model, inputs, targets))
            if time.monotonic() > until:
                return

    def save():
        """To a slow disk: written bit by bit, each bit flushed, with pauses."""
        until = time.monotonic() + SECONDS
        with tempfile.TemporaryFile() as file:
            while time.monotonic() < until:
                file.write(bytes(1 << 16))
                file.flush()
                os.fsync(file.fileno())
                time.sleep(1)

    def step(*batch):
        loss = baseline(*batch)
        if training.step == 5:
            training.phase("validate")
            validate()
            training.phase("checkpoint")
            save()
        return loss

    return step
