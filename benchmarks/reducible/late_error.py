"""Looks up a figure that no step has tracked, on the tiny model: a KeyError, late."""

from __future__ import annotations

import math
from collections import defaultdict

import mlx.core as mx
import mlx.nn as nn

SETTINGS = {"steps": 20}
SMOOTHING = 0.95


class Running:
    """Keeps what it is given, to compute figures of it later."""

    def __init__(self, name):
        self.name = name
        self.values = []
        self.seen = 0

    def add(self, value):
        self.values.append(value)
        self.seen += 1

    def figure(self):
        return self.seen


class Smooth:
    def __init__(self, decay):
        self.decay = decay
        self.value = None

    def add(self, value):
        if self.value is None:
            self.value = value
        self.value = self.decay * self.value + (1 - self.decay) * value


class Board:
    """All figures of a training by name."""

    def __init__(self):
        self.running = {}
        self.smooth = defaultdict(lambda: Smooth(SMOOTHING))
        self.notes = []

    def track(self, name, value):
        if name not in self.running:
            self.running[name] = Running(name)
        self.running[name].add(value)

    def best(self, name):
        return min(self.running[name].values)

    def scalar(self, name, value):
        self.smooth[name].add(value)

    def note(self, text):
        self.notes.append(text)
        self.notes = self.notes[-50:]

    def line(self):
        figures = [f"{name} {one.figure()}" for name, one in self.running.items()]
        figures += [f"{name} {one.value:.3f}" for name, one in self.smooth.items()]
        return ", ".join(figures)


def rate(step, peak=1e-3, warm=4, total=40):
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))


def logits_norm(model, inputs):
    return mx.sqrt(mx.mean(mx.square(model(inputs))))


def make_step(training):
    """The step of a scenario."""
    board = Board()
    gradient = nn.value_and_grad(training.model, training.loss)
    count = 0

    def step(inputs, targets):
        nonlocal count
        training.optimizer.learning_rate = rate(count)
        loss, gradients = gradient(training.model, inputs, targets)
        training.optimizer.update(training.model, gradients)
        mx.eval(training.state, loss)
        board.track("norm", logits_norm(training.model, inputs).item())
        board.scalar("loss", loss.item())
        count += 1
        if count % 10 == 0:
            board.note(f"step {count}: best loss {board.best('loss')}")
            print(board.line(), flush=True)
        return loss

    return step
