"""Your step, compiled as a whole over the state of its model and its optimizer.

Varies: one compiled function; the optimizer's state is created by its first call, so MLX traces it
twice, in steps 0 and 1.
Separates: retrace or JIT (slow in steps 0 and 1 only) from the hypotheses that do not care.
"""

import mlx.core as mx
from _own_step import TRACED, batches, state_of
from _own_step import make_step as make_own

from harness.errors import SkipError

EXPECTS = ("double_trace",)
__all__ = ["batches", "make_step"]


def make_step(training):
    own = make_own(training)
    state = state_of(training)
    compiled = mx.compile(own, inputs=state, outputs=state)

    def step(*batch):
        try:
            return compiled(*batch)
        except ValueError as error:
            if "during function transformations" not in str(error):
                raise
            raise SkipError(TRACED) from error

    return step
