"""A learning rate ten million times the default."""

from baseline_update import make_step

__all__ = ["make_step"]
SETTINGS = {"learning_rate": 1e4}
VERDICT = {"outcome": "diverged", "step": 4}
