"""Which of several processes a name means: never one of a harness."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from harness.attach.target import by_pid, is_harness, matches
from harness.errors import UsageError
from harness.observe.process_names import is_worker
from harness.supervise import launch

PYTHON = "/usr/bin/python3"
TRAINS = [PYTHON, "train.py", "--lr", "0.1"]
OWN = {
    "python -m": [PYTHON, "-m", "harness", "watch", "--", *TRAINS],
    "options before -m": [PYTHON, "-X", "dev", "-u", "-m", "harness", "watch", "--", *TRAINS],
    "a module of it": [PYTHON, "-m", "harness.supervise.remote.agent"],
    "its other name": [PYTHON, "-m", "mlx_harness", "watch", "--", *TRAINS],
    "its other script": [PYTHON, "/venv/bin/mlx-harness", "watch", "--", *TRAINS],
    "console script": [PYTHON, "/venv/bin/harness", "run", "train.py"],
    "console script by itself": ["harness", "attach", "--name", "train.py"],
    "guard": [PYTHON, "-I", "-S", "/venv/lib/harness/supervise/guard.py", "5", "", *TRAINS],
    "timers": [PYTHON, "-I", "-S", "/venv/lib/harness/observe/linux/ask_timer.py", "1", "2"],
}
OTHERS = {
    "a trainer": TRAINS,
    "a trainer that has the word": [PYTHON, "train.py", "harness"],
    "a worker": [PYTHON, "-c", "from harness.worker import main", "/reports/train/0/spec.json"],
    "a module that begins so": [PYTHON, "-m", "harness_of_mine"],
    "another guard": [PYTHON, "guard.py"],
    "a shell": ["bash", "-c", "harness watch -- python train.py"],
    "python alone": [PYTHON],
}


@pytest.mark.parametrize("argv", OWN.values(), ids=OWN)
def test_a_harness_is_known_by_its_command_line(argv):
    assert is_harness(argv)
    assert matches("train", {7: argv}, {7: 1}) == []
    assert matches("harness", {7: argv}, {7: 1}) == []


@pytest.mark.parametrize("argv", OTHERS.values(), ids=OTHERS)
def test_others_are_not_taken_for_one(argv):
    assert not is_harness(argv)


def test_of_a_watched_command_the_command_itself_is_meant():
    found = {
        10: ["bash", "-c", "timeout 60 harness watch -- python train.py --lr 0.1"],
        11: ["timeout", "60", "harness", "watch", "--", *TRAINS],
        12: [PYTHON, "/venv/bin/harness", "watch", "--", *TRAINS],
        13: [PYTHON, "-I", "-S", "/lib/harness/supervise/guard.py", "5", "", *TRAINS],
        14: TRAINS,
        15: [*TRAINS, "--child"],
    }
    parents = {10: 1, 11: 10, 12: 11, 13: 12, 14: 13, 15: 14}
    for pattern in ("train.py", "train.py --lr", "--lr 0.1"):
        assert matches(pattern, found, parents) == [14, 15]


def test_a_name_of_its_own_is_exact_also_above_a_harness():
    found = {10: [PYTHON, "launch.py"], 11: [PYTHON, "-m", "harness", "watch", "--", *TRAINS]}
    assert matches("launch.py", found, {10: 1, 11: 10}) == [10]
    assert matches("launch", found, {10: 1, 11: 10}) == [10]


def test_one_that_has_ended_is_said_to_have_where_its_threads_are_not_told(monkeypatch):
    def refused(process):
        raise psutil.ZombieProcess(process.pid)

    monkeypatch.setattr(psutil.Process, "num_threads", refused)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(UsageError, match="has ended"):
            by_pid(child.pid)


def test_a_worker_is_known_by_how_it_was_started():
    """Nobody else's handler of SIGUSR1 is ours."""
    assert is_worker(launch.boot("harness.worker", "spec.json"))
    assert is_worker(["python", "-m", "harness.worker", "spec.json"])
    for other in (
        launch.boot("harness.supervise.guarding.main", "spec.json"),
        ["python", "train.py", "-m", "harness.worker"],
        ["python", "-c", "print('from harness.worker import main')"],
        ["python", "-m"],
        [],
    ):
        assert not is_worker(other)
