"""A machine on which processes cannot be looked into: nothing is called hung there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from trial import ROOT

pytestmark = pytest.mark.waits

HARNESS = [sys.executable, str(ROOT / "tests" / "victims" / "hidden_threads.py")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
STEPS = "for i in 1 2 3 4 5; do echo step $i loss 2.$i; sleep 0.1; done"


def test_a_watched_command_that_stands_still_is_left_alone(tmp_path):
    """It stands for longer than it takes to be doubted, and longer than the patience with that."""
    done = subprocess.run(
        [*HARNESS, "watch", "--patience", "0", "--json", "--out", str(tmp_path), "--"]
        + ["sh", "-c", f"{STEPS}; sleep 20; echo step 6 loss 2.0"],
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    (result,) = json.loads(done.stdout)["results"]
    assert (result["outcome"], result["steps_completed"]) == ("completed", 6), done.stderr
    assert result["doubts"] == []
    assert "blind on this machine: the threads of other processes cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_says_so():
    done = subprocess.run(
        [*HARNESS, "doctor", "--json"],
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    shown = json.loads(done.stdout)
    assert not shown["processes"]["ok"]
    assert "nothing is called hung" in shown["processes"]["reason"]
    assert shown["memory"]["total"] > 0
    assert shown["memory"]["available"] is None
