"""A child is forked after MLX was used, evaluates, and waits for a thread it does not have.

A fork copies the thread that calls it and no other. MLX's stream thread stays behind in the
parent, so that an evaluation in the child waits for ever, and the parent waits for the child.
"""

import os

import mlx.core as mx
from _event import in_step

VERDICT = {"outcome": "hung", "cause": "deadlock", "step": 3}
SETTINGS = {"device": "cpu"}  # a GPU's stream has no thread to lose


def evaluate_in_a_child():
    pid = os.fork()
    if pid == 0:
        mx.eval(mx.ones(4) * 2)
        os._exit(0)
    os.waitpid(pid, 0)


def make_step(training):
    return in_step(training, evaluate_in_a_child)
