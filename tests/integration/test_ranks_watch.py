"""`mlx.launch` under `harness watch`: its exit code 0 says nothing of its ranks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.supervise.ranked import free_ports

ROOT = Path(__file__).parents[2]
LAUNCH = shutil.which("mlx.launch", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(LAUNCH is None, reason="this MLX brings no mlx.launch")


def watch(folder, fault, *options):
    train = ROOT / "tests" / "victims" / "ranks_train.py"
    launch = [LAUNCH, "-n", "3", "--backend", "ring", "--starting-port", str(free_ports(3))]
    done = subprocess.run(
        [sys.executable, "-m", "harness", "watch", "--json", "--out", str(folder), *options]
        + ["--", *launch, "--", sys.executable, str(train), fault],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    (result,) = json.loads(done.stdout)["results"]
    return result, done


def test_ranks_that_end_well_are_completed(tmp_path):
    result, done = watch(tmp_path, "nothing")
    assert result["outcome"] == "completed", done.stderr
    assert done.returncode == 0
    assert result["steps_completed"] == 10


@pytest.mark.parametrize("fault", ["killed", "raises"])
def test_a_rank_that_died_is_named_whatever_the_launcher_returns(tmp_path, fault):
    result, done = watch(tmp_path, fault)
    assert result["outcome"] in ("crashed", "hung"), done.stderr
    assert done.returncode != 0
    (died,) = [one for one in result["findings"] if one["code"] == "rank_died"]
    # Those that lost their connection to it may be named as well.
    assert 1 in died["evidence"]["ranks"]
    if fault == "killed":
        assert died["evidence"]["codes"][died["evidence"]["ranks"].index(1)] == -9
        assert "rank 1 was killed by SIGKILL" in died["summary"]
