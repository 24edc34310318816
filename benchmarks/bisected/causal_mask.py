"""`mx.triu` with the speed that it had before ml-explore/mlx#2644."""

import mlx.core as mx

SETTINGS = {"steps": 12}


def batches(training):
    scores = mx.random.normal((2048, 2048))
    mx.eval(scores)
    while True:
        yield scores


def make_step(training):
    def step(x):
        return mx.triu(x)[0, 0]

    return step
