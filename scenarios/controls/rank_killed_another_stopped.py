"""One of three ranks is stopped, and another is killed: that one will not come back."""

import os
import signal

import mlx.core as mx
from _event import CULPRIT, in_rank

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_died",
    "says": (" was killed by SIGKILL in step 3", " is stopped by a signal"),
    "culprit": 1,
}


def make_step(training):
    pids = mx.distributed.all_gather(mx.array([os.getpid()])).tolist()
    other = pids[(CULPRIT + 1) % len(pids)]

    def stop_and_die():
        os.kill(other, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)

    return in_rank(training, stop_and_die)
