"""Beats: what a training loop tells of its steps, the files they stand in, and their record."""

from .report import Phase, Step, Track, TrainingCallback, phase, step, track, watch

__all__ = ["Phase", "Step", "Track", "TrainingCallback", "phase", "step", "track", "watch"]
