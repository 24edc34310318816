"""Healthy: one step computes for some twelve seconds, the others for milliseconds."""

import time

import mlx.core as mx
from _event import in_step

VERDICT = {"outcome": "completed"}
SECONDS = 12


def compute():
    until = time.monotonic() + SECONDS
    x = mx.eye(128)
    while time.monotonic() < until:
        mx.eval(x @ x)


def make_step(training):
    return in_step(training, compute, number=5)
