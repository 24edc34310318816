"""An exception that nobody catches."""

from _event import in_step

VERDICT = {"outcome": "crashed", "cause": "KeyError", "step": 3}


def make_step(training):
    return in_step(training, lambda: {}["missing"])
