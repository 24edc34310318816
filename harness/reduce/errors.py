"""The error of a reduction that ends early."""

from __future__ import annotations


class InterruptedReductionError(Exception):
    """The user asked to stop, or the time is over."""
