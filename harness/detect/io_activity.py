"""The part of a process's reads and writes that is work. Pure.

A thread beside the main one that writes a line now and then (a heartbeat, a progress file, a log of
the time) does so as well when the main thread is dead.
"""

from __future__ import annotations

from harness.detect.policy import STANDARD
from harness.model import Process


def io_done(before: Process, after: Process, seconds: float) -> int | None:
    """Bytes that `after` has read and written since `before`, `seconds` ago, without a trickle.

    None when it could not be read. All of it counts where the main thread's own is not known.
    """
    if before.io_bytes is None or after.io_bytes is None:
        return None
    done = after.io_bytes - before.io_bytes
    if before.io_main is None or after.io_main is None or after.io_main > before.io_main:
        return done
    return done if done > STANDARD.trickle * max(1.0, seconds) else 0
