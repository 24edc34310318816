"""Native code reads memory that is not there."""

import ctypes

from _event import in_step

VERDICT = {"outcome": "crashed", "cause": ("SIGSEGV", "SIGBUS"), "step": 3}


def make_step(training):
    return in_step(training, lambda: ctypes.string_at(0))
