"""Healthy: a loader that sleeps, once for a long time and often for a short one."""

import time

from baseline_update import make_step

__all__ = ["make_step"]
VERDICT = {"outcome": "completed"}


def batches(training):
    for batch in training.batches():
        if training.step == 4:
            time.sleep(12)
        if training.step == 6:
            for _ in range(120):
                time.sleep(0.1)
        yield batch
