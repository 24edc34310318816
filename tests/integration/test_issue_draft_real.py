"""The code of an issue's draft, taken out and run alone, does what the harness saw."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import pytest

from harness.beats.file import read_beats
from harness.model import StepBeat

pytestmark = pytest.mark.waits

ROOT = Path(__file__).parents[2]


def harness(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return forked.harness(*arguments, folder=folder, environment=environment)


def drafted(tmp_path, *arguments):
    """The draft of a run, its folder and its code as a file."""
    harness(tmp_path, "run", *arguments, "--out", "reports")
    (folder,) = (tmp_path / "reports").glob("*-*")
    done = harness(tmp_path, "report", str(folder), "--issue")
    assert done.returncode == 0, done.stderr
    assert (folder / "issue.md").read_text() == done.stdout
    return folder, code(done.stdout, tmp_path / "repro.py")


def code(text, file):
    (found,) = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    file.write_text(found)
    return file


def alone(file):
    # Isolated: neither this project nor anything beside the file can be imported.
    return [sys.executable, "-I", str(file)]


def printed(text):
    return [
        float(value) for value in re.findall(r"^step \d+: loss ([^,\s]+),.*$", text, re.MULTILINE)
    ]


@pytest.mark.parametrize("name", ["baseline_update", "compiled_step"])
def test_what_completed_completes_with_the_same_losses(tmp_path, name):
    # Of all optimizers sgd is compiled into the fewest kernels.
    options = ("--steps", "5", "--seed", "3", "--model", "micro", "--optimizer", "sgd")
    folder, file = drafted(tmp_path, name, *options)
    done = subprocess.run(alone(file), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("completed\n")
    seen = [beat.loss for beat in read_beats(folder / name / "0") if isinstance(beat, StepBeat)]
    assert printed(done.stdout) == pytest.approx(seen, rel=1e-3)


def test_what_diverged_diverges(tmp_path):
    folder, file = drafted(tmp_path, "half_precision_overflow")
    assert json.loads((folder / "run.json").read_text())["results"][0]["outcome"] == "diverged"
    done = subprocess.run(alone(file), capture_output=True, text=True, check=True)
    assert "nan" in done.stdout


def test_what_crashed_crashes_in_the_same_step(tmp_path):
    folder, file = drafted(tmp_path, "segfault")
    result = json.loads((folder / "run.json").read_text())["results"][0]
    done = subprocess.run(alone(file), capture_output=True, text=True)
    assert done.returncode == -11
    assert len(printed(done.stdout)) == result["steps_completed"]


def test_what_hung_hangs_in_the_same_step(tmp_path):
    folder, file = drafted(tmp_path, "two_locks")
    result = json.loads((folder / "run.json").read_text())["results"][0]
    assert result["outcome"] == "hung"
    process = subprocess.Popen(alone(file), stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(result["steps_completed"])]
        assert len(printed("".join(lines))) == result["steps_completed"]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
    finally:
        process.kill()
        process.communicate()


SCENARIO = '''"""Slices, a product of matrices and helpers."""
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

SETTINGS = {"steps": 3}
SEQ_LEN = 8
token_mask = shared_key = 1.0


def rotate(x, weight):
    return mx.concatenate([-x[..., 1::2], x[..., ::2]], axis=-1)@weight


def make_step(training):
    model = nn.Linear(SEQ_LEN, SEQ_LEN)
    password = "Zq9Xw3Lk7"
    optimizer = optim.SGD(learning_rate=0.1)
    training.watch(model, optimizer)
    weight = mx.eye(SEQ_LEN)
    loss_and_grad = nn.value_and_grad(
        model, lambda m, x: rotate(m(x), weight).square().mean() * token_mask
    )

    def step(x):
        loss, gradients = loss_and_grad(model, x)
        optimizer.update(model, gradients)
        return loss

    return step


def batches(training):
    while True:
        yield mx.ones((4, SEQ_LEN))
'''


def test_what_redaction_could_take_for_an_address_still_runs(tmp_path):
    (tmp_path / "mine.py").write_text(SCENARIO)
    _, file = drafted(tmp_path, "mine.py")
    text = file.read_text()
    assert "x[..., 1::2], x[..., ::2]], axis=-1)@weight" in text
    assert 'password = "<secret>"' in text
    done = subprocess.run(alone(file), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(printed(done.stdout)) == 3


def test_what_a_test_of_another_project_trained_runs_alone(tmp_path):
    project = tmp_path / "project"
    shutil.copytree(ROOT / "tests" / "outside_project", project)
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--harness-out", str(tmp_path / "out")]
    subprocess.run(
        [sys.executable, *words, "-k", "learns and 0.05"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    (folder,) = (path.parent for path in (tmp_path / "out").glob("*/*/*/run.json"))
    draft = harness(tmp_path, "report", str(folder), "--issue").stdout
    assert "which needs MLX alone" in draft
    done = subprocess.run(
        alone(code(draft, tmp_path / "repro.py")), capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    losses = printed(done.stdout)
    assert len(losses) == 30
    assert losses[-1] < losses[0] / 10
