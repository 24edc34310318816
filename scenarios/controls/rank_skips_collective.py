"""One of three ranks leaves out one collective: the wrong steps pair, until the others wait."""

from _event import CULPRIT
from baseline_update import make_step as make_baseline

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "collective_mismatch",
    "says": " never issued all_sum #3 (step 3): none in that step, the others 1",
    "culprit": 1,
}


def make_step(training):
    """The baseline, and the mean of the losses besides; one leaves both out in step 3."""
    baseline = make_baseline(training)

    def step(*batch):
        if training.rank == CULPRIT and training.step == 3:
            return training.loss(training.model, *batch)
        return baseline(*batch)

    return step
