"""Two ranks on loopback average their gradients; from step 3 on one takes no part any more.

The other waits for ever, while a thread that serves its socket spins at some 90 % of a core.
"""

import signal

from _event import CULPRIT
from baseline_update import make_step as make_baseline

SETTINGS = {"ranks": 2}
VERDICT = {
    "outcome": "hung",
    "cause": "waiting",
    "step": 3,
    "findings": "rank_silent",
    "says": " never issued all_sum #3 (step 3)",
    "culprit": 1,
}


def make_step(training):
    baseline = make_baseline(training)

    def step(*batch):
        if training.rank == CULPRIT and training.step == 3:
            signal.pause()
        return baseline(*batch)

    return step
