"""The lines a second that a `Recognizer` reads on one core, for each log format.

python -m benchmarks.parse [--seconds 1] [--out FILE.json]

Each format's log is made here, goes in by chunks of 64 KiB as it would come from a pipe, and is
read by a fresh `Recognizer`, so that the recognition of the format is in the figure. Speeds are per
second of this process's CPU time: another process on the same core does not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save, table
from harness.logs import ADAPTERS, Adapter, Recognizer, from_pattern

CHUNK = 64 * 1024
LINES = 20_000
GOAL = 100_000
TQDM = "\r{:3.0f}%|██████▏   | {}/20000 [00:12<01:48,  9.10it/s, loss={:.4f}, lr=5e-05]"
KERAS = (
    "\b\b\b\b\r\x1b[1m{:5d}/20000\x1b[0m \x1b[32m━━━━━━━━\x1b[0m\x1b[37m━━━━━━━━━━━━\x1b[0m "
    "\x1b[1m12s\x1b[0m 12ms/step - accuracy: 0.5000 - loss: {:.4f}"
)
FORMATS: dict[str, Callable[[int, float], str]] = {
    "mlx-lm 0.31": lambda i, x: (
        f"Iter {i}: Train loss {x:.3f}, Learning Rate 1.000e-05, It/sec 0.522, "
        f"Tokens/sec 201.118, Trained Tokens {385 * i}, Peak mem 28.349 GB\n"
    ),
    "mlx-lm 0.32": lambda i, x: (
        f"  \x1b[38;5;244m{i:>4}\x1b[0m    \x1b[1;32m{x:>5.3f} ▼\x1b[0m    \x1b[1m1,234\x1b[0m    "
        f"\x1b[38;5;244m{i / 1000:>5.1f}k\x1b[0m\n"
    ),
    "original trainer, stderr": lambda i, _: f"[DEBUG] Step {i}: Clearing MLX cache\n",
    "original trainer, bar": lambda i, x: (
        f"\r⠋ [00:00:12] [####>---------------------------] {i}/20000 (1h) loss: {x:.4f} "
        "(avg: 2.50) ↓1.2% | lr: 5.00e-05 | 0.2 steps/s | ETA: 1h23m | mem: 18.42 GB"
    ),
    "original trainer, JSON": lambda i, x: (
        f'{{"avg_loss":2.5,"elapsed_secs":12.5,"loss":{x},"lr":5e-05,"memory_gb":18.42,"step":{i},'
        '"timestamp":"2025-01-01T00:00:00+00:00"}\n'
    ),
    "JSON lines": lambda i, x: (
        f'{{"step": {i}, "loss": {x}, "lr": 1e-05, "tokens_per_sec": 1234.5, "grad_norm": 1.25}}\n'
    ),
    "Hugging Face Trainer": lambda i, x: (
        f"{{'loss': {x}, 'grad_norm': 1.25, 'learning_rate': 4.5e-05, 'epoch': {i / 1000}}}\n"
    ),
    "tqdm": lambda i, x: TQDM.format(i / 200, i, x),
    "tqdm, no figures": lambda i, _: f"\r{i / 200:3.0f}%|██▏  | {i}/20000 [00:12<01:48,  9.10it/s]",
    "Lightning": lambda i, x: (
        f"\rEpoch 0: {i / 200:3.0f}%|█████     | {i}/20000 [00:01<00:01,  4.90it/s, v_num=0, "
        f"train_loss={x:.3f}]"
    ),
    "Keras": KERAS.format,
    "plain text": lambda i, x: f"step {i} loss={x:.4f} lr=1e-4\n",
    "plain text, long": lambda i, x: (
        f"2025-01-01 12:00:00,123 - root - INFO - step: {i}  loss: {x:.4f}  grad_norm: 1.2345  "
        "memory: 40.12GiB(43.1%)  tps: 5,000  tflops: 123.4  mfu: 12.3%\n"
    ),
    "pattern": lambda i, x: f"batch number {i} gave {x:.4f} after 12 ms\n",
    "no format": lambda i, _: f"2025-01-01 12:00:00 INFO worker {i}: fetched 12 objects in 3 ms\n",
}
PATTERN = r"batch number (?P<step>\d+) gave (?P<loss>\S+)"


def log(line: Callable[[int, float], str]) -> list[bytes]:
    """The chunks of LINES lines."""
    data = "".join(line(i, 2 + (i % 977) / 1000) for i in range(1, LINES + 1)).encode()
    return [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]


def speed(chunks: list[bytes], adapters: tuple[Adapter, ...], seconds: float) -> dict[str, Any]:
    """The fastest reading of the log within `seconds`, and the format that was recognized."""
    fastest, spent = float("inf"), 0.0
    while spent < seconds:
        recognizer = Recognizer(adapters)
        began = time.process_time()
        for chunk in chunks:
            recognizer.feed(chunk)
        took = time.process_time() - began
        fastest, spent = min(fastest, took), spent + took
    recognizer.close()
    found = recognizer.recognition
    return {
        "lines_per_s": round(found.lines / fastest),
        "mb_per_s": round(sum(map(len, chunks)) / fastest / 1e6, 1),
        "recognized": found.format,
        "matched": found.matched,
        "lines": found.lines,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each format")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result = {}
    for name, line in FORMATS.items():
        adapters = (from_pattern(PATTERN),) if name == "pattern" else ADAPTERS
        result[name] = speed(log(line), adapters, arguments.seconds)
    rows = [
        (name, f"{r['lines_per_s']:,}", f"{r['mb_per_s']:.1f}", f"{r['matched']}/{r['lines']}")
        for name, r in result.items()
    ]
    print(table(("format", "lines/s", "MB/s", "matched"), rows))
    slowest = min(result, key=lambda name: float(result[name]["lines_per_s"]))
    reached = result[slowest]["lines_per_s"] >= GOAL
    print(f"slowest: {slowest}; at least {GOAL:,} lines/s: {'yes' if reached else 'no'}")
    print(f"on {machine()}")
    save(arguments.out, "parse", {"goal_lines_per_s": GOAL, "formats": result})


if __name__ == "__main__":
    main()
