"""Train with plain SGD, which keeps no state.

Varies: the optimizer. The peak falls from some 5.5 P to 2.5 P.
Separates: memory (clears) from deadlock, stale compile and data (all stay).
"""

from baseline_update import make_step

SETTINGS = {"optimizer": "sgd"}

__all__ = ["make_step"]
