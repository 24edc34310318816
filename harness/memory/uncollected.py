"""Work on many small objects without Python's search for cycles."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector off, and leave it as it was found.

    It walks all objects again and again while a trace grows: half of the time for a large model.
    What a replay makes is freed by its reference counts: each operation lets go of its arrays.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
