"""The address space of one of three ranks ends; on a GPU, the memory of the GPU."""

import mlx.core as mx
from _event import in_rank
from _gpu import on_cuda
from out_of_memory import allocate

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": ("hung", "crashed"),
    "findings": "rank_died",
    "says": "in step 3",
    "culprit": 1,
}


def allocate_on_gpu():
    """An array that no GPU holds. It is refused at once, and nothing is taken of what there is."""
    mx.eval(mx.zeros((1024, 1 << 30), dtype=mx.uint8))


def make_step(training):
    return in_rank(training, allocate_on_gpu if on_cuda() else allocate)
