"""Create the optimizer state first, then compile the whole step.

Varies: `optimizer.init` before the first call, so that the step is traced once.
Separates: retrace or JIT (the slow step 1 of compiled_step clears).
"""

from compiled_step import make_step as make_compiled


def make_step(training):
    training.optimizer.init(training.model.trainable_parameters())
    return make_compiled(training)
