"""Real ranks on loopback, started by MLX's own launcher and judged together."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import distributions
from pathlib import Path

import forked
import psutil
import pytest

from harness.beats.file import read_beats
from harness.model import CollectiveBeat

ROOT = Path(__file__).parents[2]
CALM = ROOT / "tests" / "calm"


TWO_GPUS = """
class NVMLError(Exception): pass
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def __getattr__(name):
    def unknown(*arguments): raise NVMLError("Not Supported")
    return unknown
"""
"""A driver of two GPUs that tells nothing else."""


def run(folder, *arguments, status, modules=()):
    done = forked.harness(
        *("run", *arguments, "--json", "--out", folder),
        folder=ROOT,
        environment={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*modules, CALM, ROOT)))},
    )
    assert done.returncode == status, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    return result, next(folder.glob("*/*/0"))


def collectives(folder, rank):
    beats = read_beats(folder / f"rank-{rank}")
    return [(b.n, b.step, b.op) for b in beats if isinstance(b, CollectiveBeat)]


def left(folder):
    """Processes that still know of this run."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in str(p.info["cmdline"])]


def test_ranks_train_together_on_data_of_their_own(tmp_path):
    result, folder = run(
        tmp_path, "baseline_update", "--ranks", "2", "--steps", "4", "--model", "micro", status=0
    )
    assert result["outcome"] == "completed"
    assert [one["state"] for one in result["ranks"]] == ["finished", "finished"]
    assert collectives(folder, 0) == collectives(folder, 1) == [(n, n, "all_sum") for n in range(4)]
    first, second = (
        [b.loss for b in read_beats(folder / f"rank-{rank}") if getattr(b, "loss", None)]
        for rank in (0, 1)
    )
    assert len(first) == len(second) == 4
    assert first != second
    assert not left(folder)


def test_the_record_of_collectives_can_be_switched_off(tmp_path):
    result, folder = run(
        tmp_path,
        *("baseline_update", "--ranks", "2", "--steps", "2", "--model", "micro"),
        "--no-collective-beats",
        status=0,
    )
    assert result["outcome"] == "completed"
    assert collectives(folder, 0) == collectives(folder, 1) == []
    assert all(one["collective"] is None for one in result["ranks"])


def test_a_killed_rank_is_named_whatever_the_others_did_then(tmp_path):
    result, folder = run(tmp_path, "rank_killed", status=1)
    assert result["outcome"] in ("hung", "crashed")
    (died,) = [one for one in result["findings"] if one["code"] == "rank_died"]
    assert died["evidence"]["ranks"] == [1]
    assert "rank 1 was killed by SIGKILL" in (
        result["reason"] or "" if result["cause"] is None else result["cause"]["summary"]
    )
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    assert not left(folder)


def test_a_launcher_that_dies_is_told_of_and_no_rank_is_blamed(tmp_path):
    result, folder = run(tmp_path, "rank_launcher_dies", status=1)
    assert (result["outcome"], result["signal"]) == ("crashed", "SIGKILL")
    assert result["reason"].startswith("the launcher was killed by SIGKILL")
    codes = [one["code"] for one in result["findings"] if one["severity"] == "error"]
    assert codes == ["launcher_died"]
    assert [one["culprit"] for one in result["ranks"]] == [False] * 3
    assert not left(folder)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="wait sites of all threads need pystack")
def test_ranks_that_wait_are_told_from_the_one_that_is_stopped_by_their_wait_sites(tmp_path):
    result, folder = run(tmp_path, "rank_stopped", status=1)
    assert result["cause"]["code"] == "stopped"
    by_rank = {one["rank"]: one for one in result["ranks"]}
    assert {rank: one["state"] for rank, one in by_rank.items()} == {
        0: "waiting",
        1: "stopped",
        2: "waiting",
    }
    assert by_rank[0]["wait_site"] is not None
    assert by_rank[0]["wait"] != by_rank[1]["wait"]
    assert {path.parent.name for path in (folder / "stacks").rglob("*.txt")} >= {"rank-0", "rank-1"}
    report = next(tmp_path.glob("*/report.md")).read_text()
    assert "**3 ranks**" in report
    assert not left(folder)


WAITS_WELL = """
import subprocess, sys, time
from baseline_update import make_step as make_baseline

SETTINGS = {"ranks": 2, "steps": 8, "model": "micro"}
WORK = "import time; until = time.monotonic() + 9\\nwhile time.monotonic() < until: pass"

def make_step(training):
    baseline = make_baseline(training)
    def step(*batch):
        if training.rank == 1 and training.step == 4:
            time.sleep(9)
        if training.rank == 1 and training.step == 6:
            subprocess.run([sys.executable, "-c", WORK])
        return baseline(*batch)
    return step
"""


@pytest.mark.slow
def test_a_rank_that_sleeps_or_waits_for_a_child_at_work_is_no_hang(tmp_path):
    (tmp_path / "waits_well.py").write_text(WAITS_WELL)
    result, _ = run(tmp_path / "out", str(tmp_path / "waits_well.py"), status=0)
    assert result["outcome"] == "completed"
    assert not [one for one in result["findings"] if one["severity"] == "error"]


def test_of_two_ranks_the_one_that_left_is_named_and_not_the_one_that_lost_it(tmp_path):
    scenario = (ROOT / "scenarios" / "controls" / "rank_leaves_early.py").read_text()
    (tmp_path / "leaves.py").write_text(scenario.replace('"ranks": 3', '"ranks": 2'))
    # All may be over before the supervisor has looked again.
    result, _ = run(tmp_path / "out", str(tmp_path / "leaves.py"), status=1)
    assert result["outcome"] in ("crashed", "hung")
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    assert result["reason"].startswith("rank 1 exited with code 0 in step 3")
    assert "rank_left_early" in [one["code"] for one in result["findings"]]
    assert result["ranks"][1]["exit_code"] == 0


@pytest.mark.parametrize("rank", [0, 2])
def test_the_first_and_the_last_rank_are_named_as_any_other(tmp_path, monkeypatch, rank):
    monkeypatch.setenv("CONTROL_CULPRIT", str(rank))
    result, folder = run(tmp_path, "rank_killed", status=1)
    assert result["reason"].startswith(f"rank {rank} was killed by SIGKILL in step 3")
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [rank]
    assert not left(folder)


def test_ranks_that_are_killed_together_are_named_together(tmp_path):
    result, folder = run(tmp_path, "ranks_killed_together", status=1)
    assert result["reason"].startswith("ranks 1 and 2 were killed by SIGKILL")
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1, 2]
    assert not left(folder)


CUDA = any((one.name or "").startswith("mlx-cuda") for one in distributions())


@pytest.mark.skipif(CUDA or sys.platform != "linux", reason="this machine may have GPUs")
def test_ranks_over_nccl_are_refused_in_one_line_where_there_is_no_gpu(tmp_path):
    done = forked.harness(
        *("run", "baseline_update", "--ranks", "2", "--backend", "nccl", "--out", tmp_path),
        folder=ROOT,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "--backend nccl needs one GPU for each" in line
    assert line.endswith("use --backend ring")
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(CUDA or sys.platform != "linux", reason="this MLX may have NCCL")
def test_where_the_backend_is_not_there_the_run_is_skipped_and_no_rank_is_blamed(tmp_path):
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "pynvml.py").write_text(TWO_GPUS)
    over = ("--ranks", "2", "--backend", "nccl")
    result, folder = run(
        tmp_path / "reports", "baseline_update", *over, status=1, modules=[modules]
    )
    assert result["outcome"] == "skipped"
    assert result["reason"].startswith("cannot run here: MLX cannot start the backend nccl")
    assert [one for one in result["findings"] if one["severity"] == "error"] == []
    assert not any(one["culprit"] for one in result["ranks"])
    assert not left(folder)
