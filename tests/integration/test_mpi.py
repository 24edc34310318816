"""Ranks under Open MPI's `mpirun`, in jobs of ours and under `harness watch`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import forked
import psutil
import pytest

from harness.beats.file import read_beats
from harness.model import CollectiveBeat

ROOT = Path(__file__).parents[2]
MPIRUN = shutil.which("mpirun")
pytestmark = pytest.mark.skipif(MPIRUN is None, reason="there is no mpirun here")
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def harness(folder, command, *arguments):
    done = forked.harness(
        *(command, "--json", "--out", folder, *arguments),
        folder=ROOT,
        environment={**os.environ, **AS_ROOT, "PYTHONPATH": str(ROOT)},
    )
    (result,) = json.loads(done.stdout)["results"]
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if str(folder) in str(p.info["cmdline"])
    ]
    return result, done


def run(folder, *arguments):
    return harness(folder, "run", *arguments, "--backend", "mpi", "--model", "micro")


def watch(folder, fault, *options):
    ranks = [MPIRUN, "--oversubscribe", "-n", "3", sys.executable]
    # The folder's name stands on the command line of each process: none may be left.
    victim = [str(ROOT / "tests" / "victims" / "ranks_train.py"), fault, "mpi", str(folder)]
    return harness(folder, "watch", *options, "--", *ranks, *victim)


def culprits(result):
    return [one["rank"] for one in result["ranks"] if one["culprit"]]


def told(result):
    return (result["cause"] or {}).get("summary") or result["reason"]


def test_ranks_train_together_and_write_down_their_collectives(tmp_path):
    result, done = run(tmp_path, "baseline_update", "--ranks", "3", "--steps", "5")
    assert (result["outcome"], done.returncode) == ("completed", 0), done.stderr
    assert [one["state"] for one in result["ranks"]] == ["finished"] * 3
    (folder,) = tmp_path.glob("*/baseline_update/0")
    for rank in range(3):
        beats = read_beats(folder / f"rank-{rank}")
        issued = [(b.n, b.step, b.op) for b in beats if isinstance(b, CollectiveBeat)]
        assert issued == [(n, n, "all_sum") for n in range(5)]


@pytest.mark.parametrize(
    ("control", "reason", "code"),
    [
        ("rank_killed", "rank 1 was killed by SIGKILL in step 3", "rank_died"),
        ("rank_raises", "rank 1 raised KeyError: 'missing'", "rank_died"),
        ("rank_leaves_early", "rank 1 exited with code 0 in step 3", "rank_left_early"),
        ("rank_skips_collective", "rank 1 never issued all_sum #", "collective_mismatch"),
    ],
)
def test_the_rank_that_fails_is_named(tmp_path, control, reason, code):
    result, done = run(tmp_path, control)
    assert result["outcome"] in ("crashed", "hung"), done.stderr
    assert culprits(result) == [1]
    assert told(result).startswith(reason)
    assert [one["code"] for one in result["findings"] if one["severity"] == "error"] == [code]


@pytest.mark.slow
def test_the_rank_that_is_stopped_is_named(tmp_path):
    result, _ = run(tmp_path, "rank_stopped", "--budget", "30")
    assert result["cause"]["code"] == "stopped"
    assert [one["state"] for one in result["ranks"]] == ["waiting", "stopped", "waiting"]
    assert "rank 1 is stopped by a signal" in told(result)


def test_mpirun_that_dies_is_told_of_and_no_rank_is_blamed(tmp_path):
    result, _ = run(tmp_path, "rank_launcher_dies")
    assert told(result).startswith("the launcher was killed by SIGKILL")
    assert culprits(result) == []


def test_ranks_that_end_well_under_a_watched_mpirun_are_completed(tmp_path):
    result, done = watch(tmp_path, "nothing")
    assert (result["outcome"], done.returncode) == ("completed", 0), done.stderr
    assert [one["state"] for one in result["ranks"]] == ["finished"] * 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("killed", "was killed by SIGKILL"),
        ("leaves", "exited with code 0, and the others were left"),
    ],
)
def test_the_rank_is_named_because_of_which_a_watched_mpirun_ends_all(tmp_path, fault, reason):
    result, done = watch(tmp_path, fault)
    assert result["outcome"] == "crashed", done.stderr
    assert done.returncode != 0
    assert culprits(result) == [1]
    assert told(result).startswith(f"rank 1 {reason}")
    assert result["ranks"][0]["reason"].startswith("was ended by the launcher")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="wait sites of all threads need pystack")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raises", "waits for the other ranks to leave"),
        ("waits", "rank 1 never issued all_sum #5; ranks 0 and 2 have waited in it"),
    ],
)
def test_of_watched_ranks_that_hang_the_one_is_named_that_waits_elsewhere(tmp_path, fault, reason):
    result, done = watch(tmp_path, fault, "--patience", "5")
    assert result["outcome"] == "hung", done.stderr
    assert culprits(result) == [1]
    assert reason in told(result)


@pytest.mark.slow
def test_a_rank_that_is_stopped_under_a_watched_mpirun_is_named(tmp_path):
    result, _ = watch(tmp_path, "stopped", "--budget", "30")
    assert result["cause"]["code"] == "stopped"
    assert culprits(result) == [1]
    assert "rank 1 is stopped by a signal" in told(result)
