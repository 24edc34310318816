"""Healthy: a loss with noise and spikes that comes back each time."""

import math
import random

from baseline_update import make_step as make_baseline

SETTINGS = {"steps": 60}
VERDICT = {"outcome": "completed"}
SPIKES = {17: 30.0, 18: 8.0, 41: 100.0}
"""Step to factor: batches of garbage in an otherwise ordinary data set."""


def make_step(training):
    baseline = make_baseline(training)
    draw = random.Random(training.settings.seed)

    def step(*batch):
        noise = math.exp(draw.gauss(0, 0.3))
        return baseline(*batch) * noise * SPIKES.get(training.step, 1.0)

    return step
