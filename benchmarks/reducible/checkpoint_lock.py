"""Saves a checkpoint under a lock, whose listener takes the same lock: on the tiny model."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

import mlx.core as mx
import mlx.nn as nn

EVERY = 4
KEEP = 3


class Checkpoint:
    """The parameters at one step."""

    def __init__(self, step, loss, tree):
        self.step = step
        self.loss = loss
        self.tree = tree
        self.time = time.time()

    @property
    def age(self):
        return time.time() - self.time


class Store:
    """The last checkpoints, and those who listen for new ones."""

    def __init__(self, most):
        self.most = most
        self.lock = threading.Lock()
        self.checkpoints = OrderedDict()
        self.listeners = []

    def listen(self, listener):
        self.listeners.append(listener)

    def save(self, step, loss, tree):
        with self.lock:
            self.checkpoints[step] = Checkpoint(step, loss, tree)
            while len(self.checkpoints) > self.most:
                self.checkpoints.popitem(last=False)
            for listener in self.listeners:
                listener(self, step)

    def best(self):
        with self.lock:
            return min(self.checkpoints.values(), key=lambda one: one.loss)

    def steps(self):
        return list(self.checkpoints)


class Reporter:
    """Tells which checkpoint is the best so far."""

    def __init__(self):
        self.lines = []

    def __call__(self, store, step):
        best = store.best()
        self.lines.append(f"{step}: best {best.step} with {best.loss:.4f}")
        if len(self.lines) > 10:
            self.lines = self.lines[-10:]


class Warmup:
    def __init__(self, steps, rate):
        self.steps = steps
        self.rate = rate

    def __call__(self, step):
        return self.rate * min(1.0, (step + 1) / self.steps)


def perplexity(loss):
    return float(mx.exp(mx.array(min(loss, 20.0))).item())


def make_step(training):
    """The step of a scenario: trains, and saves every few steps."""
    store = Store(KEEP)
    store.listen(Reporter())
    warmup = Warmup(5, 1e-3)
    gradient = nn.value_and_grad(training.model, training.loss)
    count = 0

    def step(inputs, targets):
        nonlocal count
        training.optimizer.learning_rate = warmup(count)
        loss, gradients = gradient(training.model, inputs, targets)
        training.optimizer.update(training.model, gradients)
        mx.eval(training.state)
        count += 1
        if count % EVERY == 0:
            value = loss.item()
            store.save(count, value, training.model.parameters())
            print("perplexity", perplexity(value), "saved", store.steps(), flush=True)
        return loss

    return step
