"""One of three ranks kills another and itself: neither of the two is the first."""

import os
import signal

import mlx.core as mx
from _event import CULPRIT, in_rank

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_died",
    "says": " were killed by SIGKILL",
    "culprits": (1, 2),
}


def make_step(training):
    pids = mx.distributed.all_gather(mx.array([os.getpid()])).tolist()
    other = pids[(CULPRIT + 1) % len(pids)]

    def kill_both():
        os.kill(other, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    return in_rank(training, kill_both)
