"""A loader whose thread dies of a bad record, while the training waits for its queue."""

from __future__ import annotations

import queue
import random
import threading

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

CONFIG = {"steps": 60, "batch_size": 8, "dims": 24, "hidden": 48, "depth": 3, "ahead": 4}


class Record:
    """One line of a file of measurements."""

    def __init__(self, text):
        head, *fields = text.split(",")
        self.key = head
        self.fields = [float(field) for field in fields]
        self.target = sum(self.fields) / len(self.fields)

    def __repr__(self):
        return f"Record({self.key!r}, {len(self.fields)} fields)"


class Source:
    """Lines of text, as a file would have them; one of them is damaged."""

    def __init__(self, dims, damaged):
        self.rng = random.Random(3)
        self.dims = dims
        self.damaged = damaged
        self.count = 0

    def line(self):
        self.count += 1
        fields = [f"{self.rng.uniform(-1, 1):.5f}" for _ in range(self.dims)]
        if self.count == self.damaged:
            fields[self.dims // 2] = "n/a"
        return ",".join([f"r{self.count}", *fields])


class Loader:
    """Reads batches ahead, in a thread."""

    def __init__(self, source, batch_size, ahead):
        self.source = source
        self.batch_size = batch_size
        self.queue = queue.Queue(maxsize=ahead)
        self.read = 0
        self.thread = threading.Thread(target=self.work, name="loader", daemon=True)
        self.thread.start()

    def work(self):
        while True:
            records = [Record(self.source.line()) for _ in range(self.batch_size)]
            self.read += len(records)
            x = [record.fields for record in records]
            y = [[record.target] for record in records]
            self.queue.put((x, y))

    def next(self):
        x, y = self.queue.get()
        return mx.array(x), mx.array(y)


class Model(nn.Module):
    def __init__(self, dims, hidden, depth):
        super().__init__()
        widths = [dims, *[hidden] * (depth - 1)]
        self.layers = [nn.Linear(a, b) for a, b in zip(widths, [*widths[1:], hidden], strict=True)]
        self.head = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(0.1)

    def __call__(self, x):
        for layer in self.layers:
            x = nn.gelu(layer(x))
        return self.head(self.dropout(x))


def loss_fn(model, x, y):
    error = model(x) - y
    return mx.mean(error * error)


def clipped(gradients, most):
    gradients, norm = optim.clip_grad_norm(gradients, most)
    return gradients, norm


def train(config):
    mx.random.seed(1)
    model = Model(config["dims"], config["hidden"], config["depth"])
    optimizer = optim.Adam(learning_rate=optim.cosine_decay(1e-3, config["steps"]))
    step_fn = nn.value_and_grad(model, loss_fn)
    loader = Loader(Source(config["dims"], damaged=100), config["batch_size"], config["ahead"])
    best = float("inf")
    for step in range(config["steps"]):
        x, y = loader.next()
        loss, gradients = step_fn(model, x, y)
        gradients, norm = clipped(gradients, 1.0)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, norm)
        best = min(best, loss.item())
        print(f"step {step}: loss {loss.item():.5f} norm {norm.item():.3f}", flush=True)
    return best


if __name__ == "__main__":
    print("best", train(CONFIG))
