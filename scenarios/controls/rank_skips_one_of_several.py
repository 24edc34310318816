"""Several collectives a step, of which one of three ranks once leaves out one."""

import mlx.core as mx
from _event import CULPRIT
from baseline_update import make_step as make_baseline

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "collective_mismatch",
    "says": " never issued all_sum #15 (step 3): 3 collectives in that step, the others 4",
    "culprit": 1,
}
COUNT = 3


def make_step(training):
    baseline = make_baseline(training)

    def step(*batch):
        loss = baseline(*batch)
        left_out = training.rank == CULPRIT and training.step == 3
        for _ in range(COUNT - left_out):
            mx.eval(mx.distributed.all_sum(mx.ones(8)))
        return loss

    return step
