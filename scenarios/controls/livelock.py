"""Python code looks again and again for what never comes."""

from _event import in_step

VERDICT = {"outcome": "hung", "cause": "stalled", "step": 3}


def look_for_ever():
    arrived = []
    while not arrived:
        pass


def make_step(training):
    return in_step(training, look_for_ever)
