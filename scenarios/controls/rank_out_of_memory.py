"""The address space of one of three ranks ends."""

from _event import in_rank
from out_of_memory import allocate

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_died",
    "says": " in step 3",
    "culprit": 1,
}


def make_step(training):
    return in_rank(training, allocate)
