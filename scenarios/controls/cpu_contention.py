"""Healthy: it trains while four spinning processes for each core take the CPU away."""

import os
import subprocess
import sys

from baseline_update import make_step as make_baseline

SETTINGS = {"steps": 100}
VERDICT = {"outcome": "completed"}
SPIN = "while True: pass"


def make_step(training):
    baseline = make_baseline(training)
    spinning = []

    def step(*batch):
        if training.step == 5:
            for _ in range(4 * (os.cpu_count() or 1)):
                spinning.append(subprocess.Popen([sys.executable, "-c", SPIN]))
        if training.last_step:
            for process in spinning:
                process.kill()
                process.wait()
        return baseline(*batch)

    return step
