"""A coroutine that waits for a prefetched batch, which nobody will ever deliver."""

from __future__ import annotations

import argparse
import asyncio
import logging

import mlx.core as mx
from data import Dataset
from network import Trainer

LOG = logging.getLogger("train")


class Prefetcher:
    """Delivers batches by futures, a few steps ahead."""

    def __init__(self, dataset, size, ahead):
        self.dataset = dataset
        self.size = size
        self.ahead = ahead
        self.pending = {}
        self.delivered = 0

    def request(self, step):
        if step not in self.pending:
            self.pending[step] = asyncio.get_running_loop().create_future()

    async def deliver(self, steps):
        for step in range(0, steps, self.ahead):
            for number in range(step, min(step + self.ahead, steps - 1)):
                self.request(number)
                batch = self.dataset.batch(number * self.size, self.size)
                self.pending[number].set_result(batch)
                self.delivered += 1
                await asyncio.sleep(0)
        LOG.info("delivered %d batches", self.delivered)

    async def get(self, step):
        self.request(step)
        batch = await self.pending[step]
        del self.pending[step]
        return batch


class EarlyStop:
    def __init__(self, patience):
        self.patience = patience
        self.best = float("inf")
        self.bad = 0

    def update(self, loss):
        if loss < self.best:
            self.best, self.bad = loss, 0
        else:
            self.bad += 1
        return self.bad > self.patience


async def train(args):
    dataset = Dataset(128, args.dims)
    trainer = Trainer(args.dims, hidden=args.hidden, layers=args.layers)
    prefetcher = Prefetcher(dataset, args.batch, args.ahead)
    producer = asyncio.create_task(prefetcher.deliver(args.steps))
    stop = EarlyStop(patience=50)
    for step in range(args.steps):
        x, y = await prefetcher.get(step)
        loss = trainer.step(x, y)
        LOG.info("memory %d", mx.get_active_memory())
        print(f"step {step}: loss {loss:.4f}", flush=True)
        if stop.update(loss):
            break
    await producer
    return stop.best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dims", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--ahead", type=int, default=4)
    parser.add_argument("--log", default="WARNING", choices=["INFO", "WARNING"])
    args = parser.parse_args()
    logging.basicConfig(level=args.log)
    print("best", asyncio.run(train(args)))


if __name__ == "__main__":
    main()
