"""The process is stopped by a signal, and nobody continues it."""

import os
import signal

from _event import in_step

VERDICT = {"outcome": "hung", "cause": "stopped", "step": 3, "budget": 10}


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def make_step(training):
    return in_step(training, stop)
