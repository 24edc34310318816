"""The program leaves before its first step, with the exit code of success."""

import sys

VERDICT = {"outcome": "crashed", "cause": "exited with code 0 before the first step"}


def make_step(training):
    sys.exit(0)
