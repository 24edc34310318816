"""Healthy: one of three ranks takes long to load its data, and the others wait for it."""

import time

from _event import CULPRIT
from baseline_update import make_step  # noqa: F401

SETTINGS = {"ranks": 3, "steps": 30}
VERDICT = {"outcome": "completed", "findings": "rank_slow", "culprit": 1}


def batches(training):
    for batch in training.batches():
        if training.rank == CULPRIT:
            time.sleep(0.4)
        yield batch
