"""Made-up regression data, as a small project would have it in a module of its own."""

from __future__ import annotations

import random

import mlx.core as mx

SEED = 7


class Dataset:
    """Pairs of a vector and its target, in a fixed order until they are shuffled."""

    def __init__(self, size, dims):
        rng = random.Random(SEED)
        self.size = size
        self.dims = dims
        self.weights = [rng.uniform(-1, 1) for _ in range(dims)]
        self.order = list(range(size))

    def __len__(self):
        return self.size

    def shuffle(self, epoch):
        random.Random(SEED + epoch).shuffle(self.order)

    def item(self, index):
        rng = random.Random(self.order[index])
        x = [rng.gauss(0, 1) for _ in range(self.dims)]
        y = sum(a * b for a, b in zip(x, self.weights, strict=True))
        return x, y

    def batch(self, first, size):
        items = [self.item((first + i) % self.size) for i in range(size)]
        return mx.array([x for x, _ in items]), mx.array([[y] for _, y in items])


def batches(dataset, size):
    """All batches of one epoch."""
    for first in range(0, len(dataset), size):
        yield dataset.batch(first, size)


def split(dataset, share):
    """Two datasets, the second one with `share` of the pairs."""
    held = max(1, int(len(dataset) * share))
    return Dataset(len(dataset) - held, dataset.dims), Dataset(held, dataset.dims)
