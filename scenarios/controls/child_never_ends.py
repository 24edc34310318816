"""A child process is waited for, and does not end."""

import subprocess
import sys

from _event import in_step

VERDICT = {"outcome": "hung", "cause": "waiting", "step": 3}


def wait_for_a_child():
    subprocess.run([sys.executable, "-c", "import signal; signal.pause()"], check=True)


def make_step(training):
    return in_step(training, wait_for_a_child)
