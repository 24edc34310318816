"""Train low-rank adapters only; most parameters are frozen.

Varies: what is trained. Gradients and optimizer state shrink to a few per cent.
Separates: memory (clears) and a leak (its slope follows the trainable parameters) from the rest.
"""

from baseline_update import make_step

SETTINGS = {"train": "lora"}

__all__ = ["make_step"]
