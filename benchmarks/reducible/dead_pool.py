"""A pool of processes that prepares batches; one worker dies, and its task is never done."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random

import mlx.core as mx
from network import Trainer

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
MOST_WORDS = 12


class Vocabulary:
    def __init__(self, words):
        self.index = {word: number for number, word in enumerate(sorted(set(words)))}

    def encode(self, text):
        return [self.index[word] for word in text.split()]

    def __len__(self):
        return len(self.index)


def sentence(seed):
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, MOST_WORDS)))


def features(tokens, dims):
    """Counts of tokens, folded into `dims` places."""
    row = [0.0] * dims
    for token in tokens:
        row[token % dims] += 1.0
    return row


def prepare(task):
    """One batch: runs in a process of the pool."""
    number, size, dims, fails = task
    if number == fails:
        os._exit(3)  # as a native library does that runs out of memory
    vocabulary = Vocabulary(WORDS)
    rows, targets = [], []
    for i in range(size):
        tokens = vocabulary.encode(sentence(number * size + i))
        rows.append(features(tokens, dims))
        targets.append([len(tokens) / MOST_WORDS])
    return number, rows, targets


class History:
    def __init__(self):
        self.losses = []

    def add(self, loss):
        self.losses.append(loss)

    @property
    def last(self):
        recent = self.losses[-5:]
        return sum(recent) / max(1, len(recent))


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--dims", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fails", type=int, default=9)
    return parser.parse_args()


def main():
    chosen = options()
    trainer = Trainer(chosen.dims, hidden=32)
    history = History()
    tasks = [(n, chosen.size, chosen.dims, chosen.fails) for n in range(chosen.batches)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(chosen.workers) as pool:
        for number, rows, targets in pool.imap(prepare, tasks):
            loss = trainer.step(mx.array(rows), mx.array(targets))
            history.add(loss)
            print(f"step {number}: loss {loss:.4f} mean {history.last:.4f}", flush=True)
    print("done", history.last)


if __name__ == "__main__":
    main()
