"""A kernel on the GPU never ends: nothing moves on the host, and nothing there is at fault."""

import mlx.core as mx
from _event import in_step
from _gpu import FOR_EVER_NS, busy

VERDICT = {"outcome": "hung", "cause": "waiting", "step": 3}


def make_step(training):
    mx.eval(busy(1))  # compiled here, so that the step has nothing to wait for but the kernel
    return in_step(training, lambda: mx.eval(busy(FOR_EVER_NS)))
