"""Threads that evaluate side by side and meet at a barrier: one of them has nothing to do."""

from __future__ import annotations

import argparse
import threading

import mlx.core as mx
from data import Dataset, batches, split
from network import Trainer


class Part:
    """The share of the held-out pairs that one thread evaluates."""

    def __init__(self, number, rows):
        self.number = number
        self.rows = rows
        self.error = 0.0

    def empty(self):
        return not self.rows

    def take(self, value):
        self.error += value


def parts(size, count):
    """The rows of `count` parts; there may be more parts than rows."""
    rows = list(range(size))
    return [Part(number, rows[number::count]) for number in range(count)]


class Evaluation:
    """Evaluates in several threads, which end together."""

    def __init__(self, dataset, threads):
        self.dataset = dataset
        self.barrier = threading.Barrier(threads + 1)
        self.parts = parts(len(dataset), threads)
        self.lock = threading.Lock()
        self.total = 0.0

    def work(self, part):
        if part.empty():
            return
        for row in part.rows:
            x, y = self.dataset.item(row)
            part.take(abs(sum(x) - y))
        with self.lock:
            self.total += part.error
        self.barrier.wait()

    def run(self):
        threads = [
            threading.Thread(target=self.work, args=(part,), daemon=True) for part in self.parts
        ]
        for thread in threads:
            thread.start()
        self.barrier.wait()
        for thread in threads:
            thread.join()
        return self.total / len(self.dataset)


class Trace:
    """The last figures, for the log."""

    def __init__(self, length):
        self.length = length
        self.rows = []

    def add(self, **figures):
        self.rows = [*self.rows, figures][-self.length :]

    def line(self):
        newest = self.rows[-1]
        return " ".join(f"{name} {value:.4f}" for name, value in newest.items())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dims", type=int, default=16)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--every", type=int, default=4)
    args = parser.parse_args()
    train, held = split(Dataset(64, args.dims), 0.05)
    trainer = Trainer(args.dims, hidden=32, layers=2)
    trace = Trace(10)
    for step, (x, y) in enumerate(batches(train, 8)):
        loss = trainer.step(x, y)
        trace.add(loss=loss, memory=mx.get_active_memory() / 2**20)
        print(f"step {step}: {trace.line()}", flush=True)
        if step % args.every == args.every - 1:
            error = Evaluation(held, args.threads).run()
            print(f"held out {error:.4f} of {len(held)}", flush=True)


if __name__ == "__main__":
    main()
