"""One of three ranks once brings an array of another size to a collective."""

import mlx.core as mx
from _event import CULPRIT
from baseline_update import make_step as make_baseline

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "collective_mismatch",
    "says": " issued all_sum #6 (step 3) with float32[4096], the others with float32[8]",
    "culprit": 1,
}


def make_step(training):
    baseline = make_baseline(training)

    def step(*batch):
        odd = training.rank == CULPRIT and training.step == 3
        mx.eval(mx.distributed.all_sum(mx.ones(4096 if odd else 8)))
        return baseline(*batch)

    return step
