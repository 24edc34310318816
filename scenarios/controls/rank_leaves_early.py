"""One of three ranks ends well, and too soon: the launcher waits for the others for ever."""

import os

from _event import in_rank

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_left_early",
    "says": (" exited with code 0 in step 3", ", before all steps were over"),
    "culprit": 1,
}


def make_step(training):
    return in_rank(training, lambda: os._exit(0))
