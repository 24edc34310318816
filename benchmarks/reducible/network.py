"""The network of the project, and the step that trains it."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim


class Block(nn.Module):
    def __init__(self, dims, hidden):
        super().__init__()
        self.norm = nn.RMSNorm(dims)
        self.up = nn.Linear(dims, hidden)
        self.down = nn.Linear(hidden, dims)

    def __call__(self, x):
        return x + self.down(nn.silu(self.up(self.norm(x))))


class Network(nn.Module):
    def __init__(self, dims, hidden, layers):
        super().__init__()
        self.blocks = [Block(dims, hidden) for _ in range(layers)]
        self.head = nn.Linear(dims, 1)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def loss_fn(model, x, y):
    return nn.losses.mse_loss(model(x), y)


class Trainer:
    """A model, its optimizer, and one step of them."""

    def __init__(self, dims, hidden=64, layers=2, learning_rate=1e-3):
        mx.random.seed(0)
        self.model = Network(dims, hidden, layers)
        self.optimizer = optim.AdamW(learning_rate=learning_rate)
        self.gradient = nn.value_and_grad(self.model, loss_fn)
        mx.eval(self.model.parameters())

    def step(self, x, y):
        loss, gradients = self.gradient(self.model, x, y)
        self.optimizer.update(self.model, gradients)
        mx.eval(self.model.parameters(), self.optimizer.state, loss)
        return loss.item()

    def evaluate(self, dataset, size):
        losses = [loss_fn(self.model, *dataset.batch(i, size)).item() for i in range(0, 8, size)]
        return sum(losses) / len(losses)
