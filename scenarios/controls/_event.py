"""The baseline's step, with something that happens in one of its steps."""

import os

from baseline_update import make_step as make_baseline

STEP = 3
"""Late enough that what the phases usually take is known."""
CULPRIT = int(os.environ.get("CONTROL_CULPRIT", "1"))
"""The rank in which it happens; a control's VERDICT names that rank if nobody asks for another."""


def in_rank(training, happens, rank=CULPRIT, number=STEP):
    """The same in one of several ranks alone."""
    never = -1
    return in_step(training, happens, number if training.rank == rank else never)


def in_step(training, happens, number=STEP):
    """A step that calls `happens()` before its own work when it is the `number`th, from 0."""
    baseline = make_baseline(training)

    def step(*batch):
        if training.step == number:
            happens()
        return baseline(*batch)

    return step
