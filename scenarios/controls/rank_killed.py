"""One of three ranks is killed; what the others do differs from run to run."""

import os
import signal

from _event import in_rank

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_died",
    "says": " was killed by SIGKILL in step 3",
    "culprit": 1,
}


def make_step(training):
    return in_rank(training, lambda: os.kill(os.getpid(), signal.SIGKILL))
