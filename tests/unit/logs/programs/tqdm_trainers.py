"""Trainers that print through a bar of the real tqdm: `python tqdm_trainers.py NAME`, in a pipe.

The order of the calls, and what is set and printed, are those of the trainer that a function names;
the numbers are our own.
"""

import sys
import time

import mlx.core as mx
from prints import loss, lr
from tqdm import tqdm, trange


def mlx_lm_lora_orpo_bar() -> None:
    """mlx-lm-lora's orpo_trainer.py."""
    bar = tqdm(range(1, 61), desc="Training")
    for it in bar:
        if it == 1 or it % 30 == 0:
            tqdm.write(
                f"Iter {it}: Val loss {loss(it) + 0.2:.3f}, Val chosen reward 0.110, "
                "Val rejected reward -0.120, Val accuracy 0.700, Val margin 0.230, "
                "Val took 1.234s"
            )
        time.sleep(0.12)
        if it % 10 == 0:
            bar.set_postfix({"loss": f"{loss(it):.3f}", "it/s": "0.522"})
            tqdm.write(
                f"\nIter {it}: loss {loss(it):.3f}, chosen_r {it / 100:.3f}, rejected_r -0.100, "
                f"acc 0.750, margin 0.200, lr {lr(it):.3e}, it/s 0.522, tok/s 201.118, "
                "peak_mem 28.349GB"
            )
        if it == 40:
            tqdm.write(
                "Iter 40: Saved adapter weights to adapters/adapters.safetensors and "
                "adapters/0000040_adapters.safetensors."
            )
    tqdm.write("Saved final weights to adapters/adapters.safetensors.")


def mlx_lm_lora_sft_bar() -> None:
    """mlx-lm-lora's sft_trainer.py."""
    bar = tqdm(range(1, 61), desc="Training")
    for it in bar:
        if it == 1 or it % 30 == 0:
            tqdm.write(f"Iter {it}: Val loss {loss(it) + 0.2:.3f}, Val took 1.234s")
        time.sleep(0.12)
        if it % 10 == 0:
            bar.set_postfix({"loss": f"{loss(it):.3f}", "it/s": "0.522"})
            tqdm.write(
                f"\nIter {it}: loss {loss(it):.3f}, lr {lr(it):.3e}, it/s 0.522, tok/s 201.118, "
                f"trained_tok {385 * it}, peak_mem 28.349GB"
            )


def mlx_flow() -> None:
    """mlx-examples' flow/main.py: the loss is an array, and the bar calls it `val`."""
    with trange(40) as steps:
        for step in steps:
            time.sleep(0.12)
            steps.set_postfix(val=mx.array(loss(step)))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
