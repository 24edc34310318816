"""A learning rate a hundred thousand times too high."""

from baseline_update import make_step

__all__ = ["make_step"]
SETTINGS = {"learning_rate": 10000.0}
VERDICT = {"outcome": "diverged"}
