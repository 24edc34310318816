"""Loops with tqdm's bars: `python tqdm_bars.py steps`, or another of the functions below."""

import math
import sys
import time

from tqdm import tqdm, trange


def loss(step: int) -> float:
    return 2.0 * math.exp(-step / 20) + 0.1


def steps() -> None:
    bar = tqdm(range(30))
    for step in bar:
        time.sleep(0.03)
        bar.set_postfix(loss=f"{loss(step):.4f}", lr=1e-4)


def epochs() -> None:
    for epoch in range(1, 4):
        bar = tqdm(range(12), desc=f"Epoch {epoch}/3")
        for step in bar:
            time.sleep(0.03)
            bar.set_postfix(loss=loss(step + 12 * epoch))


def nested() -> None:
    for epoch in trange(3, desc="Epochs", unit="epoch"):
        for _ in tqdm(range(8), desc="Training", leave=False):
            time.sleep(0.03)
        tqdm.write(f"epoch {epoch} done")


def open() -> None:
    bar = tqdm()
    for step in range(20):
        time.sleep(0.03)
        bar.update()
        bar.set_postfix_str(f"loss={loss(step):.3f}")
    bar.close()


def validation() -> None:
    for epoch in range(2):
        bar = tqdm(range(6), desc=f"Train epoch {epoch}", unit="batch")
        for step in bar:
            time.sleep(0.03)
            bar.set_postfix({"train_loss": loss(step + 6 * epoch)})
        for _ in tqdm(range(3), desc="Validation"):
            time.sleep(0.03)


def setup() -> None:
    for _ in tqdm(range(2_000_000), desc="Downloading", unit="B", unit_scale=True):
        pass
    for _ in tqdm(range(100), desc="Tokenizing", unit=" examples"):
        time.sleep(0.001)
    steps()


def scaled() -> None:
    bar = tqdm(range(1200), unit_scale=True, mininterval=0.02)
    for step in bar:
        time.sleep(0.0005)
        bar.set_postfix(step_loss=loss(step // 20), refresh=False)


def nan() -> None:
    bar = tqdm(range(8), desc="loss=?")
    for step in bar:
        time.sleep(0.03)
        bar.set_description(f"step {step} loss={float('nan') if step > 4 else loss(step):.3f}")


def ascii() -> None:
    bar = tqdm(range(15), ascii=True, ncols=60)
    for step in bar:
        time.sleep(0.03)
        bar.set_postfix(loss=loss(step))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
