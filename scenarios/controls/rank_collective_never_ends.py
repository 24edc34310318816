"""One of two ranks has issued its collective behind a kernel that never ends: both GPUs are busy.

Nothing that the ranks tell differs: each has issued the same collectives, and waits for its GPU.
"""

import mlx.core as mx
from _event import in_rank
from _gpu import FOR_EVER_NS, busy

SETTINGS = {"ranks": 2}
VERDICT = {
    "outcome": "hung",
    "cause": "waiting",
    "findings": "rank_silent",
    "says": "all have issued all_sum #3 (step 3), and its evaluation does not end",
}


def make_step(training):
    mx.eval(busy(1))  # compiled here, so that the step has nothing to wait for but the kernel
    return in_rank(training, lambda: mx.async_eval(busy(FOR_EVER_NS)))
