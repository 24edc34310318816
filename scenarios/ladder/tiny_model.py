"""The same step on the smallest built-in model.

Varies: the size of everything, and nothing else.
Separates: a deadlock (stays) from memory (clears) and deferred work (small).
"""

from baseline_update import make_step

SETTINGS = {"model": "micro", "train": "full", "dtype": "float32"}

__all__ = ["make_step"]
