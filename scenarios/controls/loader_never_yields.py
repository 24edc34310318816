"""The process that loads the data has nothing more to say after three batches."""

import subprocess
import sys

from baseline_update import make_step

__all__ = ["make_step"]
VERDICT = {"outcome": "hung", "cause": "waiting", "step": 3}
LOADER = """
import signal
for number in range(3):
    print(number, flush=True)
signal.pause()
"""


def batches(training):
    loader = subprocess.Popen([sys.executable, "-c", LOADER], stdout=subprocess.PIPE)
    for batch in training.batches():
        loader.stdout.readline()
        yield batch
