"""Native code spins for a lock that it holds itself, without Python's interpreter lock."""

import ctypes
import sys

from _event import in_step

from harness.errors import SkipError

VERDICT = {"outcome": "hung", "cause": "stalled", "step": 3}


def spin():
    library, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_spin_init(lock, 0)
    library.pthread_spin_lock(lock)
    library.pthread_spin_lock(lock)


def make_step(training):
    if sys.platform == "darwin":
        raise SkipError("macOS has no spin locks of POSIX")
    return in_step(training, spin)
