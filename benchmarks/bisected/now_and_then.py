"""Two locks taken in opposite orders, in 3 of 10 runs, from the release in BEGINS on."""

import os
import random
import threading
from importlib.metadata import version

import mlx.core as mx

SETTINGS = {"steps": 2}
PROBABILITY = 0.3


def batches(training):
    while True:
        yield mx.ones((4,))


def make_step(training):
    here, begins = (
        tuple(map(int, text.split("."))) for text in (version("mlx"), os.environ["BEGINS"])
    )
    hangs = here >= begins and random.Random().random() < PROBABILITY
    first, second = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)

    def other():
        with second:
            both.wait()
            with first:
                pass

    def step(x):
        if hangs:
            threading.Thread(target=other, daemon=True).start()
            with first:
                both.wait()
                with second:
                    pass
        return x.sum()

    return step
