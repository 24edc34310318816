"""Healthy: 200 MB on stdout, as a forgotten debug print leaves them."""

from _event import in_step

VERDICT = {"outcome": "completed"}
LINE = "x" * 999


def flood():
    for _ in range(200_000):
        print(LINE)


def make_step(training):
    return in_step(training, flood)
