"""A loss that takes the logarithm of a probability that becomes zero."""

from __future__ import annotations

import random
from functools import partial

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

CLASSES = 6
DIMS = 20
STEPS = 80
BATCH = 16


class Clusters:
    """Points around one center for each class, far from each other."""

    def __init__(self, spread):
        rng = random.Random(5)
        self.centers = [[rng.uniform(-spread, spread) for _ in range(DIMS)] for _ in range(CLASSES)]

    def draw(self, rng):
        label = rng.randrange(CLASSES)
        return [rng.gauss(c, 0.3) for c in self.centers[label]], label

    def batch(self, step):
        rng = random.Random(step)
        pairs = [self.draw(rng) for _ in range(BATCH)]
        return mx.array([x for x, _ in pairs]), mx.array([y for _, y in pairs])


class Classifier(nn.Module):
    def __init__(self, hidden, scale):
        super().__init__()
        self.first = nn.Linear(DIMS, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, CLASSES)
        self.scale = scale

    def features(self, x):
        return nn.relu(self.second(nn.relu(self.first(x))))

    def __call__(self, x):
        return mx.softmax(self.head(self.features(x)) * self.scale, axis=-1)


def entropy(probabilities):
    """The mean entropy, which is rewarded at first."""
    return -mx.mean(mx.sum(probabilities * mx.log(probabilities), axis=-1))


def loss_fn(model, weight, x, y):
    probabilities = model(x)
    chosen = mx.take_along_axis(probabilities, y[:, None], axis=-1)
    return -mx.mean(mx.log(chosen)) - weight * entropy(probabilities)


class Averages:
    def __init__(self, decay):
        self.decay = decay
        self.values = {}

    def update(self, **figures):
        for name, value in figures.items():
            old = self.values.get(name, value)
            self.values[name] = self.decay * old + (1 - self.decay) * value

    def __str__(self):
        return " ".join(f"{name} {value:.3f}" for name, value in self.values.items())


def accuracy(model, data):
    x, y = data.batch(10_000)
    return mx.mean(mx.argmax(model(x), axis=-1) == y).item()


def schedule(step):
    return 0.01 if step < STEPS // 2 else 0.001


def main():
    mx.random.seed(2)
    data = Clusters(spread=30.0)
    model = Classifier(hidden=40, scale=8.0)
    optimizer = optim.Adam(learning_rate=0.01)
    averages = Averages(0.9)
    for step in range(STEPS):
        weight = schedule(step)
        x, y = data.batch(step)
        gradient = nn.value_and_grad(model, partial(loss_fn))
        loss, gradients = gradient(model, weight, x, y)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state)
        averages.update(accuracy=accuracy(model, data))
        print(f"step {step}: loss {loss.item()} ({averages})", flush=True)


if __name__ == "__main__":
    main()
