"""A training whose logger and flusher take two locks in opposite order."""

from __future__ import annotations

import argparse
import threading
import time
from collections import deque

from data import Dataset, batches, split
from network import Trainer


class Meter:
    """The mean of the last values."""

    def __init__(self, window):
        self.values = deque(maxlen=window)

    def add(self, value):
        self.values.append(value)

    def mean(self):
        return sum(self.values) / max(1, len(self.values))


class MetricLog:
    """Collects figures; a thread of its own prints them now and then."""

    def __init__(self, window):
        self.meters = {}
        self.window = window
        self.meters_lock = threading.Lock()
        self.print_lock = threading.Lock()
        self.printed = 0

    def meter(self, name):
        if name not in self.meters:
            self.meters[name] = Meter(self.window)
        return self.meters[name]

    def record(self, name, value):
        with self.meters_lock:
            self.meter(name).add(value)
            time.sleep(0.05)
            with self.print_lock:
                self.printed += 1

    def flush(self):
        with self.print_lock:
            time.sleep(0.05)
            with self.meters_lock:
                line = ", ".join(
                    f"{name} {meter.mean():.4f}" for name, meter in self.meters.items()
                )
                print(line or "nothing yet", flush=True)


def flush_often(log, stop, pause):
    while not stop.is_set():
        log.flush()
        time.sleep(pause)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--dims", type=int, default=32, help="width of the vectors")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--quiet", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    train, held = split(Dataset(256, args.dims), 0.1)
    trainer = Trainer(args.dims, learning_rate=args.rate)
    log = MetricLog(20)
    stop = threading.Event()
    flusher = threading.Thread(target=flush_often, args=(log, stop, 0.02), daemon=True)
    flusher.start()
    step = 0
    for epoch in range(args.epochs):
        train.shuffle(epoch)
        for x, y in batches(train, args.batch_size):
            loss = trainer.step(x, y)
            log.record("loss", loss)
            if not args.quiet:
                print(f"step {step}: loss {loss:.4f}", flush=True)
            step += 1
        print(f"epoch {epoch}: held out {trainer.evaluate(held, 4):.4f}", flush=True)
    stop.set()
    flusher.join()


if __name__ == "__main__":
    main()
