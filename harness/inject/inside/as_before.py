"""One more step of a training that leaves no trace: what it draws and what it sets is put back."""

from __future__ import annotations

import contextlib
import random
import sys
from typing import Any, Iterator

import mlx.core as mx


@contextlib.contextmanager
def as_before(model: Any) -> Iterator[None]:
    """Put back the random numbers of MLX, Python and NumPy, and the arrays of `model`.

    A layer may keep figures of its batches (`nn.BatchNorm`), and dropout draws random numbers.
    Raises before anything has run where one of them cannot be had.
    """
    arrays = model.parameters()
    state: Any = mx.random.state
    drawn = state[0].tolist()
    own = random.getstate()
    numpy = sys.modules.get("numpy")
    legacy = None if numpy is None else numpy.random.get_state()
    try:
        yield
    finally:
        # The state is the key of a seed: two words of 32 bits, the high one first.
        mx.random.seed((drawn[0] << 32) | drawn[1])
        random.setstate(own)
        if numpy is not None:
            numpy.random.set_state(legacy)
        model.update(arrays)
