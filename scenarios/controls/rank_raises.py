"""One of three ranks raises an exception, and the others lose their connection to it."""

from _event import in_rank

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_died",
    "says": (" raised KeyError: 'missing', at rank_raises.py", " in look_up (in step 3"),
    "culprit": 1,
}


def look_up():
    return {}["missing"]


def make_step(training):
    return in_rank(training, look_up)
