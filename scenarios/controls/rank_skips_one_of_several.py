"""Several collectives a step, of which one of three ranks once leaves out one."""

import mlx.core as mx
from baseline_update import make_step as make_baseline

SETTINGS = {"ranks": 3}
VERDICT = {"outcome": ("hung", "crashed"), "culprit": 1}
COUNT = 3


def make_step(training):
    baseline = make_baseline(training)

    def step(*batch):
        loss = baseline(*batch)
        left_out = training.rank == 1 and training.step == 3
        for _ in range(COUNT - left_out):
            mx.eval(mx.distributed.all_sum(mx.ones(8)))
        return loss

    return step
