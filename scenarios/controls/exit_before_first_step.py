"""The program leaves before its first step, with the exit code of success."""

import sys

VERDICT = {"outcome": "crashed", "cause": "exited with code 0 during start-up"}


def make_step(training):
    sys.exit(0)
