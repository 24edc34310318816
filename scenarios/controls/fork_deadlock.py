"""A child is forked after MLX was used, evaluates, and waits for a thread it does not have.

A fork copies the thread that calls it and no other. MLX's stream thread stays behind in the
parent, so that an evaluation in the child waits for ever, and the parent waits for the child.
"""

import os

import mlx.core as mx
from _event import in_step
from _gpu import skip_on_cuda

VERDICT = {"outcome": "hung", "cause": "deadlock", "step": 3}


def evaluate_in_a_child():
    pid = os.fork()
    if pid == 0:
        mx.eval(mx.ones(4) * 2)
        os._exit(0)
    os.waitpid(pid, 0)


def make_step(training):
    skip_on_cuda("MLX for NVIDIA GPUs evaluates in a forked child, if it is the CPU's work")
    return in_step(training, evaluate_in_a_child)
