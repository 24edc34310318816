"""Attention of a row that is masked as a whole, as padding is (ml-explore/mlx#2406, #2608)."""

import mlx.core as mx

SETTINGS = {"steps": 3}


def batches(training):
    mx.random.seed(training.settings.seed)
    while True:
        yield mx.random.normal((1, 2, 4, 16))


def make_step(training):
    padding = mx.array([[True] * 4] * 3 + [[False] * 4])

    def step(x):
        attended = mx.fast.scaled_dot_product_attention(x, x, x, scale=0.25, mask=padding)
        return mx.square(attended).mean()

    return step
