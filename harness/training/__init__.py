"""The parts that scenarios share: the model, the data, the loss and the loop. Imported by workers
only."""

from __future__ import annotations

from harness.training.setup import Training

__all__ = ["Training"]
