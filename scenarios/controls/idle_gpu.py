"""The host waits for a GPU that has nothing to do: its work waits for a word that nobody writes."""

from _event import in_step
from _gpu import on_cuda, wait_for_nobody

from harness.errors import SkipError

VERDICT = {"outcome": "hung", "cause": "stalled", "step": 3}


def make_step(training):
    if not on_cuda():
        raise SkipError("needs an NVIDIA GPU")
    return in_step(training, wait_for_nobody)
