"""`harness attach` on jobs of several ranks that were started by hand: who holds the others up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import psutil
import pytest

from harness.observe import rank_env
from harness.supervise.ports import Ports

ROOT = Path(__file__).parents[2]
VICTIMS = ROOT / "tests" / "victims"
LAUNCH = shutil.which("mlx.launch", path=str(Path(sys.executable).parent))
PATIENCE_S = 90.0
"""How long a job may take to get where it is looked at, and there be seen; a busy machine."""
STEPS_ON = """
import sys, time
import mlx.core as mx
group = mx.distributed.init(strict=True, backend="ring")
for step in range(int(sys.argv[1])):
    total = mx.distributed.all_sum(mx.array(step + group.rank())).item()
    assert total == 3 * step + 3
    print(f"step {step}", flush=True)
    time.sleep(0.02)
"""
"""No rank prints how far it is but in lines of its own."""

pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.skipif(LAUNCH is None, reason="this MLX brings no mlx.launch"),
]


@contextlib.contextmanager
def started(*command, **options):
    """A process in a group of its own, which ends with the test."""
    given = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    with subprocess.Popen([*map(str, command)], start_new_session=True, **given) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def launched(folder, *train):
    """mlx.launch with three ranks that run `train`; what they print goes to FOLDER/out."""
    with (
        contextlib.closing(Ports(3)) as ports,
        (folder / "out").open("w") as out,
        started(
            *(LAUNCH, "-n", 3, "--backend", "ring", "--starting-port", ports.first),
            *("--", sys.executable, *train),
            stdout=out,
        ) as process,
    ):
        yield process


def printed(folder, process, text, times):
    end = time.monotonic() + PATIENCE_S
    while (folder / "out").read_text().count(text) < times:
        assert process.poll() is None, "the job has ended"
        assert time.monotonic() < end, "it never came there"
        time.sleep(0.05)


def stopped(pid):
    end = time.monotonic() + PATIENCE_S
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < end, "it never stopped"
        time.sleep(0.05)


def attach(pid, out):
    """Exit code, result, what was told people, and the folder."""
    done = forked.harness("attach", pid, "--json", "--out", out, "--for", "2.5", folder=ROOT)
    assert done.returncode in (0, 1), done.stderr
    (result,) = json.loads(done.stdout)["results"]
    return done.returncode, result, done.stderr


def settle(pid, out, culprits, cause=None, states=None):
    """Ask until these are the culprits, by this cause, and the ranks in these states: a job may be
    slow to come to rest, and one rank may still work when what holds another up is proven."""
    end = time.monotonic() + PATIENCE_S
    while True:
        code, result, shown = attach(pid, out)
        found = [one["rank"] for one in result["ranks"] if one["culprit"]]
        settled = (
            found == culprits
            and cause in (None, result["cause"]["code"])
            and states in (None, [one["state"] for one in result["ranks"]])
        )
        if settled or time.monotonic() > end:
            assert settled, shown
            return code, result, shown


def ranks_below(pid):
    return {rank: one.pid for one in psutil.Process(pid).children()
            if (rank := rank_env.among(rank_env.variables(one.pid))) is not None}  # fmt: skip


def identities(pid):
    """Of a tree who is there, stopped or not: what must not be altered by a look."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {(one.pid, one.create_time(), one.status() == psutil.STATUS_STOPPED) for one in tree}


@pytest.mark.parametrize(
    ("fault", "state", "cause", "reason"),
    [
        ("stopped", "stopped", "stopped", "is stopped by a signal"),
        ("waits", "stalled", "deadlock", "waits for a pipe"),
    ],
)
def test_the_rank_that_holds_the_others_up_is_named_and_nothing_is_altered(
    tmp_path, fault, state, cause, reason
):
    """One that was stopped goes on to its right end afterwards."""
    with launched(tmp_path, VICTIMS / "ranks_train.py", fault) as process:
        printed(tmp_path, process, "step 4", 3)
        ranks, written = ranks_below(process.pid), (tmp_path / "out").read_text()
        if fault == "stopped":
            stopped(ranks[1])
        before = identities(process.pid)
        code, result, shown = settle(
            process.pid, tmp_path / "runs", [1], cause, ["waiting", state, "waiting"]
        )
        assert process.poll() is None
        assert identities(process.pid) == before
        assert (tmp_path / "out").read_text() == written
        assert (code, result["outcome"]) == (1, "hung")
        assert reason in result["ranks"][1]["reason"]
        assert f"rank 1 (process {ranks[1]}) " in result["cause"]["summary"]
        assert reason in result["cause"]["summary"]
        assert result["cause"]["evidence"]["pid"] == ranks[1]
        assert all(f"rank {rank} (process {pid})" in shown for rank, pid in ranks.items())
        lines = [line for line in shown.splitlines() if "rank" in line]
        assert f"rank 1 (process {ranks[1]})" in lines[1]  # the first of the list
        if fault == "stopped":
            os.kill(ranks[1], signal.SIGCONT)
            assert process.wait(PATIENCE_S) == 0
            said = (tmp_path / "out").read_text().split("\n")
            wanted = [
                f"step {n} loss {3 / (n + 1) + rank:.4f}" for n in range(10) for rank in range(3)
            ]
            assert sorted(filter(None, said)) == sorted(wanted)
    home = max((tmp_path / "runs").glob("*-*"))
    taken = {path.parent.name for path in home.rglob("stacks/*/*.txt")}
    assert taken <= {"rank-0", "rank-1", "rank-2"}
    assert taken
    report = (home / "report.md").read_text()
    assert "**3 ranks**" in report
    assert "**1**" in report


@pytest.mark.slow
def test_one_ranks_own_process_is_named_and_judged_by_itself(tmp_path):
    with launched(tmp_path, VICTIMS / "ranks_train.py", "stopped") as process:
        printed(tmp_path, process, "step 4", 3)
        settle(process.pid, tmp_path / "runs", [1], "stopped")
        rank = ranks_below(process.pid)[1]
        code, result, shown = attach(rank, tmp_path / "runs")
        assert (code, result["cause"]["code"], result["ranks"]) == (1, "stopped", [])
        assert f"rank 1 (process {rank}): stopped" in shown


@pytest.mark.slow
def test_a_job_that_runs_is_alive_at_every_look_and_adds_up_right(tmp_path):
    train = tmp_path / "train.py"
    train.write_text(STEPS_ON)
    with launched(tmp_path, train, "400") as process:
        printed(tmp_path, process, "step 1", 3)
        looks = 0
        while process.poll() is None and looks < 3:
            code, result, shown = attach(process.pid, tmp_path / "runs")
            if process.poll() is not None:
                break  # it may have been looked at as it ended
            looks += 1
            assert code == 0, shown
            assert result["outcome"] == "unfinished"
            assert not any(one["culprit"] for one in result["ranks"])
            assert [one["rank"] for one in result["ranks"]] == [0, 1, 2]
        assert looks
        assert process.wait() == 0  # on a loaded machine a step takes many times longer
    assert (tmp_path / "out").read_text().count("step 399") == 3


def test_a_rank_that_is_gone_is_named_as_dead(tmp_path):
    """A launcher that goes on waiting for the others, which wait for the one that was killed."""
    launcher = (
        "import os, subprocess, sys\n"
        "ranks = [subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE,\n"
        "                          env={**os.environ, 'MLX_RANK': str(rank)})\n"
        "         for rank in range(3)]\n"
        "[rank.stdout.readline() for rank in ranks]\n"
        "print('up', flush=True)\n"
        "[rank.wait() for rank in ranks[::2]]\n"
    )
    victim = (VICTIMS / "stacks_hangs.py", "receives")
    with started(sys.executable, "-c", launcher, *victim, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        ranks = ranks_below(process.pid)
        assert sorted(ranks) == [0, 1, 2]
        os.kill(ranks[1], signal.SIGKILL)
        code, result, shown = settle(process.pid, tmp_path, [1])
        assert (code, result["outcome"]) == (1, "hung")
        assert result["ranks"][1]["state"] == "dead"
        assert result["cause"]["evidence"]["reason"] == "rank_died"
        assert "rank 1 has ended" in shown
        assert all(f"rank {rank} (process {ranks[rank]})" in shown for rank in (0, 2))
        assert process.poll() is None
