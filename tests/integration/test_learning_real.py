"""Why nothing was learned, of real trainings: a scenario, a program of one's own, and mlx-lm."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import forked
import mlxlm_folder
import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """\
import mlx.core as mx, mlx.nn as nn, mlx.optimizers as optim
from harness import beats

model, optimizer = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 1)), optim.AdamW(1e-3)
beats.watch(model, optimizer)
loss_and_grad = nn.value_and_grad(model, lambda m, x: (mx.stop_gradient(m(x)) ** 2).mean())
for n in range(8):
    loss, gradients = loss_and_grad(model, mx.random.normal((4, 8)))
    optimizer.update(model, gradients)
    mx.eval(model.parameters(), optimizer.state)
    print(f"step {n}: loss={loss.item():.4f}", flush=True)
"""


def watch(folder, *command):
    """The result of a command under `harness watch`."""
    done = forked.harness(
        *("watch", "--json", "--", sys.executable, *command),
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    (result,) = json.loads(done.stdout)["results"]
    return result, json.loads(done.stdout)["diagnosis"]


def findings(result):
    return {finding["code"]: finding for finding in result["findings"]}


def test_a_program_that_asks_for_it_is_told_why_with_its_line(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    result, diagnosis = watch(tmp_path, "train.py")
    found = findings(result)
    assert "steps_printed" in found
    assert "at train.py:9" in found["gradients_zero"]["summary"]
    assert result["steps_completed"] == 8
    supported = [h["id"] for h in diagnosis["hypotheses"] if h["verdict"] == "supported"]
    assert supported == ["learning"]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """A model with a chat template, and prompts that fill more than a row."""
    folder = tmp_path_factory.mktemp("prompts")
    mlxlm_folder.write(folder)
    tokenizer = folder / "model" / "tokenizer_config.json"
    told = json.loads(tokenizer.read_text())
    told["chat_template"] = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.write_text(json.dumps(told))
    lines = [json.dumps({"prompt": f"{n} " + "ab " * 30, "completion": "yes"}) for n in range(8)]
    (folder / "data" / "train.jsonl").write_text("\n".join(lines))
    (folder / "data" / "valid.jsonl").write_text("\n".join(lines[:2]))
    return folder


def test_a_training_with_mlx_lm_whose_labels_are_all_masked(prompts):
    result, _ = watch(
        prompts, "-m", "mlx_lm", "lora", "--model", "model", "--data", "data", "--train",
        "--iters", 6, "--batch-size", 1, "--num-layers", 2, "--mask-prompt",
        "--max-seq-length", 64, "--optimizer", "sgd",
    )  # fmt: skip
    found = findings(result)
    assert result["outcome"] == "diverged"  # mlx-lm divides 0 by 0
    assert found["labels_masked"]["evidence"]["counted"] == 0
    assert found["labels_masked"]["evidence"]["of"] == 4 * 63
