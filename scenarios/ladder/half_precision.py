"""Train in bfloat16.

Varies: the dtype of parameters, gradients and optimizer state; all are half as large.
Separates: memory (clears or comes later) and a leak (half the slope) from the rest.
"""

from baseline_update import make_step

SETTINGS = {"dtype": "bfloat16"}

__all__ = ["make_step"]
