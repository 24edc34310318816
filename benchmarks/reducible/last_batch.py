"""A model that fixes the number of rows, and a last batch that has fewer of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from data import Dataset, batches


@dataclass
class Config:
    rows: int = 70
    batch_size: int = 16
    dims: int = 32
    heads: int = 4
    layers: int = 2
    epochs: int = 2
    rate: float = 3e-4
    tags: list = field(default_factory=lambda: ["base", "v2"])


class Mixer(nn.Module):
    """Attention between the rows of a batch, with a bias for each pair of them."""

    def __init__(self, config):
        super().__init__()
        self.heads = config.heads
        self.scale = (config.dims // config.heads) ** -0.5
        self.query = nn.Linear(config.dims, config.dims)
        self.key = nn.Linear(config.dims, config.dims)
        self.value = nn.Linear(config.dims, config.dims)
        self.out = nn.Linear(config.dims, config.dims)
        self.bias = mx.zeros((config.batch_size, config.batch_size))

    def split(self, x):
        rows, dims = x.shape
        return x.reshape(rows, self.heads, dims // self.heads).transpose(1, 0, 2)

    def __call__(self, x):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = (q * self.scale) @ k.transpose(0, 2, 1)
        weights = mx.softmax(scores + self.bias, axis=-1)
        mixed = (weights @ v).transpose(1, 0, 2)
        return self.out(mixed.reshape(x.shape))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.mixer = Mixer(config)
        self.first = nn.LayerNorm(config.dims)
        self.second = nn.LayerNorm(config.dims)
        self.mlp = nn.Sequential(
            nn.Linear(config.dims, 2 * config.dims),
            nn.ReLU(),
            nn.Linear(2 * config.dims, config.dims),
        )

    def __call__(self, x):
        x = x + self.mixer(self.first(x))
        return x + self.mlp(self.second(x))


class Predictor(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = [Layer(config) for _ in range(config.layers)]
        self.head = nn.Linear(config.dims, 1)

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def loss_fn(model, x, y):
    return nn.losses.huber_loss(model(x), y, reduction="mean")


def report(step, loss, config):
    tag = "/".join(config.tags)
    print(f"[{tag}] step {step}: loss {loss:.4f}", flush=True)


def run(config):
    mx.random.seed(11)
    dataset = Dataset(config.rows, config.dims)
    model = Predictor(config)
    optimizer = optim.AdamW(learning_rate=config.rate, weight_decay=0.01)
    gradient = nn.value_and_grad(model, loss_fn)
    step = 0
    for epoch in range(config.epochs):
        dataset.shuffle(epoch)
        for number, (x, y) in enumerate(batches(dataset, config.batch_size)):
            left = len(dataset) - number * config.batch_size
            x, y = x[:left], y[:left]
            loss, gradients = gradient(model, x, y)
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)
            report(step, loss.item(), config)
            step += 1


if __name__ == "__main__":
    run(Config())
