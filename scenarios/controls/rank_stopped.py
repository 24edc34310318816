"""One of three ranks is stopped by a signal, and nobody continues it."""

import os
import signal

from _event import in_rank

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": "hung",
    "cause": "stopped",
    "findings": "rank_stopped",
    "says": " is stopped by a signal in step 3",
    "culprit": 1,
    "budget": 25.0,
}


def make_step(training):
    return in_rank(training, lambda: os.kill(os.getpid(), signal.SIGSTOP))
