"""Healthy: one of three ranks is stopped for four seconds, and continued."""

import os
import subprocess

from _event import in_rank

SETTINGS = {"ranks": 3}
VERDICT = {"outcome": "completed", "findings": ("rank_was_stopped",)}


def stop_for_a_while():
    pid = os.getpid()
    subprocess.Popen(["sh", "-c", f"kill -STOP {pid}; sleep 4; kill -CONT {pid}"])


def make_step(training):
    return in_rank(training, stop_for_a_while)
