"""`mlx.launch` under `harness watch`: its exit code 0 says nothing of its ranks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import forked
import pytest

from harness.beats.file import read_beats
from harness.model import StepBeat
from harness.supervise.ports import Ports

ROOT = Path(__file__).parents[2]
CALM = ROOT / "tests" / "calm"
LAUNCH = shutil.which("mlx.launch", path=str(Path(sys.executable).parent))
pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(LAUNCH is None, reason="this MLX brings no mlx.launch"),
]


def watch(
    folder, fault="", *options, train=ROOT / "tests" / "victims" / "ranks_train.py", path=CALM
):
    with closing(Ports(3)) as ports:
        launch = [LAUNCH, "-n", "3", "--backend", "ring", "--starting-port", str(ports.first)]
        done = forked.harness(
            *("watch", "--json", "--out", folder, *options),
            *("--", *launch, "--", sys.executable, train, fault),
            folder=ROOT,
            environment={**os.environ, "PYTHONPATH": f"{path}:{ROOT}"},
        )
    (result,) = json.loads(done.stdout)["results"]
    (run,) = (one for one in folder.iterdir() if one.is_dir())
    return result, done, run / "mlx.launch" / "0"


def test_ranks_that_end_well_are_completed_and_their_output_is_told_apart(tmp_path):
    result, done, folder = watch(tmp_path, "nothing")
    assert result["outcome"] == "completed", done.stderr
    assert done.returncode == 0
    assert [one["state"] for one in result["ranks"]] == ["finished"] * 3
    assert [one["steps_completed"] for one in result["ranks"]] == [10] * 3
    for rank in range(3):
        said = (folder / f"rank-{rank}" / "stdout.log").read_text().splitlines()
        # Three ranks add up 1 / (step + 1); each adds its number to what it prints.
        assert said == [f"step {step} loss {3 / (step + 1) + rank:.4f}" for step in range(10)]
    # The losses and times of the job are those of its first rank, not of all in turn.
    assert result["steps_completed"] == 10
    assert result["metrics"]["loss"]["last"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("killed", "was killed by SIGKILL"),
        ("raises", "ValueError: rank 1 has had enough"),
        ("leaves", "code 0"),
    ],
)
def test_a_rank_that_is_gone_is_named_whatever_the_launcher_returns(tmp_path, fault, reason):
    result, done, _ = watch(tmp_path, fault)
    assert result["outcome"] in ("crashed", "hung"), done.stderr
    assert done.returncode != 0
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    assert reason in result["ranks"][1]["reason"]
    assert reason in (result["cause"] or {}).get("summary", result["reason"])


def test_without_the_hook_the_ranks_are_told_by_their_processes(tmp_path):
    result, done, folder = watch(tmp_path, "killed", "--no-inject")
    assert result["outcome"] in ("crashed", "hung"), done.stderr
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    assert "was killed by SIGKILL" in result["ranks"][1]["reason"]
    assert not (folder / "rank-1" / "stdout.log").exists()


REPORTS = """
import time
import mlx.core as mx
from harness import beats
group = mx.distributed.init(strict=True, backend="ring")
for step in range(6):
    with beats.step() as told:
        total = mx.distributed.all_sum(mx.array(1.0)).item()
        told.loss = total + group.rank()
"""


def test_each_rank_reports_its_own_steps(tmp_path):
    (tmp_path / "train.py").write_text(REPORTS)
    out = tmp_path / "out"
    result, done, folder = watch(out, train=tmp_path / "train.py")
    assert result["outcome"] == "completed", done.stderr
    for rank in range(3):
        losses = [b.loss for b in read_beats(folder / f"rank-{rank}") if isinstance(b, StepBeat)]
        assert losses == [3.0 + rank] * 6
    assert [one["steps_completed"] for one in result["ranks"]] == [6] * 3
    assert result["steps_completed"] == 6
    assert result["metrics"]["loss"]["last"] == 3.0


def test_ranks_that_are_ended_with_their_job_have_not_finished(tmp_path):
    (tmp_path / "train.py").write_text("import time\ntime.sleep(600)\n")
    out = tmp_path / "out"
    result, done, _ = watch(out, "", "--budget", "20", train=tmp_path / "train.py")
    assert result["outcome"] == "unfinished", done.stderr
    assert [one["state"] for one in result["ranks"]] == ["working"] * 3


def test_one_rank_of_a_job_can_be_watched_by_itself(tmp_path):
    alone = REPORTS.replace("strict=True", "strict=False").replace(
        'backend="ring"', 'backend="any"'
    )
    (tmp_path / "train.py").write_text(alone)
    done = forked.harness(
        *("watch", "--json", "--out", tmp_path / "out"),
        *("--", sys.executable, tmp_path / "train.py"),
        folder=ROOT,
        environment={**os.environ, "PYTHONPATH": str(ROOT), "MLX_RANK": "2"},
    )
    (result,) = json.loads(done.stdout)["results"]
    assert (result["outcome"], result["steps_completed"]) == ("completed", 6), done.stderr
    assert result["metrics"]["loss"]["last"] == 1.0
    assert result["ranks"] == []


def test_a_rank_that_never_comes_is_named_with_the_collective_that_it_never_issued(tmp_path):
    # Beside MLX's launcher as it is, which spins: a job whose launcher is busy may hang.
    result, done, folder = watch(tmp_path, "waits", "--patience", "5", path=ROOT)
    assert result["outcome"] == "hung", done.stderr
    assert done.returncode == 1
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    summary = result["cause"]["summary"]
    # Of a machine that is slow, after words on what rank 1 waits for.
    assert "rank 1 never issued all_sum #5; ranks 0 and 2 have waited in it for" in summary
    assert "ranks_train.py:" in summary
    assert [one["collective"] for one in result["ranks"]] == [5, 4, 5]
    report = (folder.parents[1] / "report.md").read_text()
    assert "Ranks not in all_sum #" in report
    assert "Ranks in it:" in report


SKIPS = """
import sys
import mlx.core as mx
from mlx.core.distributed import all_sum
group = mx.distributed.init(strict=True, backend="ring")
for step in range(30):
    total = all_sum(mx.ones((4, 3)))
    if (group.rank(), step, sys.argv[1]) != (1, 20, "skips"):
        total = total + mx.distributed.all_sum(mx.array(1.0))
    mx.eval(total)
"""


def test_a_rank_that_leaves_one_out_is_named(tmp_path):
    (tmp_path / "train.py").write_text(SKIPS)
    out = tmp_path / "out"
    options = ("--patience", "3", "--budget", "240")
    result, done, _ = watch(out, "skips", *options, train=tmp_path / "train.py")
    assert result["outcome"] in ("hung", "crashed"), done.stderr
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    assert "rank 1 never issued all_sum #41" in (result["cause"] or {}).get(
        "summary", result["reason"]
    )


def test_a_rank_that_never_joins_is_named(tmp_path):
    (tmp_path / "train.py").write_text(
        "import os, time\n"
        "import mlx.core as mx\n"
        "if os.environ['MLX_RANK'] == '1':\n"
        "    time.sleep(600)\n"
        "mx.distributed.init(strict=True, backend='ring')\n"
    )
    out = tmp_path / "out"
    result, done, _ = watch(out, "", "--budget", "90", train=tmp_path / "train.py")
    assert result["outcome"] == "crashed", done.stderr
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    assert result["reason"].startswith("rank 1 has never come to join the others")


TRAINS = """
import sys
from functools import partial
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

group = mx.distributed.init(strict=True, backend="ring")
mx.random.seed(1)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = optim.Adam(0.01)
optimizer.init(model.trainable_parameters())
mx.eval(model.parameters(), optimizer.state)
loss_and_grad = nn.value_and_grad(model, lambda x, y: nn.losses.mse_loss(model(x), y))
state = [model.state, optimizer.state]

def step(x, y):
    loss, gradients = loss_and_grad(x, y)
    optimizer.update(model, nn.average_gradients(gradients))
    return mx.distributed.all_sum(loss)

if sys.argv[1] == "compiled":
    step = partial(mx.compile, inputs=state, outputs=state)(step)
mx.random.seed(group.rank())
for number in range(20):
    x = mx.random.normal((4, 8))
    loss = step(x, x.sum(axis=1, keepdims=True))
    mx.eval(loss, state)
    if group.rank() == 0:
        print(f"step {number} loss {loss.item()!r}", flush=True)
"""


@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_a_training_is_not_changed_by_being_watched(tmp_path, how):
    script = tmp_path / "train.py"
    script.write_text(TRAINS)
    out = tmp_path / "out"
    result, done, folder = watch(out, how, train=script)
    assert (result["outcome"], done.returncode) == ("completed", 0), done.stderr
    assert [one["state"] for one in result["ranks"]] == ["finished"] * 3
    assert not [found for found in result["findings"] if found["code"].startswith("collective")]
    issued = [one["collective"] for one in result["ranks"]]
    assert issued == [39 if how == "eager" else 1] * 3
    with closing(Ports(3)) as ports:
        launch = [LAUNCH, "-n", "3", "--backend", "ring", "--starting-port", str(ports.first)]
        alone = subprocess.run(
            [*launch, "--", sys.executable, str(script), how],
            env={**os.environ, "PYTHONPATH": str(CALM)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    watched = (folder / "rank-0" / "stdout.log").read_text()
    steps = [line for line in alone.stdout.splitlines() if line.startswith("step ")]
    assert len(steps) == 20
    assert watched.splitlines() == steps


def test_a_rank_that_is_stopped_is_named(tmp_path):
    for budget in (20, 60):  # the others spin as long as it lasts
        result, done, folder = watch(tmp_path / str(budget), "stopped", "--budget", str(budget))
        if "are saved in" in done.stderr:
            break
    assert result["outcome"] == "hung", done.stderr
    assert result["cause"]["code"] == "stopped"
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [1]
    assert "is stopped by a signal" in result["ranks"][1]["reason"]
    # It was told as it happened, and what it was like then is kept.
    assert re.search(r"mlx\.launch: .*\brank 1 is stopped by a signal", done.stderr)
    assert (folder / "stopped" / "state.json").exists()
    assert result["cause"]["evidence"]["wait_site"].startswith("rank 1 ")
    assert "ranks_train.py:" in result["ranks"][1]["python_frame"]


SWEEPS = """
import os, subprocess, sys, time
def rank(number):
    code = "import time; print(1, flush=True); time.sleep(600)"
    env = {**os.environ, "MLX_RANK": str(number)}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
ranks = [rank(number) for number in range(3)]
for one in ranks:
    one.stdout.readline()
time.sleep(3)  # each is seen
for number, one in enumerate(ranks):
    one.kill() if number == 0 else one.terminate()
    one.wait()
    print(f"Node with rank {number} exited with code {one.returncode}", flush=True)
    time.sleep(0.2)
"""
SLOW = """
import sys, time
from harness.supervise.streams import Relay
tell = Relay._tell
def slowly(self, listener, data):
    time.sleep(1)
    tell(self, listener, data)
Relay._tell = slowly
from harness.cli import main
sys.exit(main())
"""


def test_the_last_words_of_a_launcher_are_heard_before_its_ranks_are_judged(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SLOW, "watch", "--json", "--out", str(tmp_path / "out")]
        + ["--", sys.executable, "-c", SWEEPS],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    (result,) = json.loads(done.stdout)["results"]
    assert [one["signal"] for one in result["ranks"]] == ["SIGKILL", "SIGTERM", "SIGTERM"]
    assert [one["rank"] for one in result["ranks"] if one["culprit"]] == [0]
