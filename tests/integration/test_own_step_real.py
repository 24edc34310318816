"""`harness run-all --own FILE`: somebody's own step, changed from outside."""

from __future__ import annotations

import json
import os
from pathlib import Path

import forked

ROOT = Path(__file__).parents[2]
STEP = """
import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from neighbor import rows

def make_step(training):
    mx.random.seed(1)
    model, optimizer = nn.Linear(4, 1), optim.Adam(0.1)
    WATCH
    loss_and_grad = nn.value_and_grad(model, lambda m, x, y: nn.losses.mse_loss(m(x), y))

    def step(x, y):
        assert x.shape[0] == ROWS, x.shape
        loss, gradients = loss_and_grad(model, x, y)
        optimizer.update(model, gradients)
        return loss

    return step

def batches(training):
    mx.random.seed(2)
    while True:
        x = mx.random.normal((rows, 4))
        yield x, x.sum(axis=1, keepdims=True)
"""


def ran(folder, step, *options):
    (folder / "neighbor.py").write_text("rows = 16")
    (folder / "mine.py").write_text(step)
    done = forked.harness(
        *("run-all", "--own", "mine.py", "--steps", "3", "--json", *options),
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    document = json.loads(done.stdout)
    return {result["scenario"]: result for result in document["results"]}, done, document


def test_a_step_that_names_its_model_is_changed_in_every_way(tmp_path):
    step = STEP.replace("WATCH", "training.watch(model, optimizer)").replace("ROWS", "rows")
    results, done, document = ran(tmp_path, step, "--skip", "clear_cache_after_update")
    outcomes = {name: result["outcome"] for name, result in results.items()}
    # Its own assertion notices the half of a batch.
    assert outcomes.pop("smaller_batch") == "crashed"
    assert set(outcomes.values()) == {"completed"}, done.stderr
    losses = {name: result["metrics"]["loss"] for name, result in results.items()}
    assert losses["compiled_step"]["last"] == losses["uncompiled_step"]["last"]
    first = {round(loss["first"], 5) for name, loss in losses.items() if name in outcomes}
    assert len(first) == 1
    assert losses["sgd_step"]["last"] != losses["baseline_update"]["last"]
    changed = {
        name: not any(f["code"] == "parameters_unchanged" for f in result["findings"])
        for name, result in results.items()
    }
    assert [name for name in outcomes if not changed[name]] == sorted(
        ("grad_evaluated_without_update", "grad_without_update"),
        key=list(outcomes).index,
    )
    calm = results["constant_batch"]["metrics"]["loss"]
    assert calm["last"] < calm["first"]
    assert {info["own"]["source"] for info in document["scenarios"]} == {step}


def test_what_a_step_does_not_allow_is_skipped_with_the_reason(tmp_path):
    step = STEP.replace("WATCH", "").replace("ROWS", "rows")
    step = step.replace("optimizer.update(model, gradients)", "pass")
    results, done, _ = ran(tmp_path, step, "-k", "sgd or compiled_step or eval_after")
    reasons = {
        name: result["reason"] for name, result in results.items() if result["outcome"] == "skipped"
    }
    assert set(reasons) == {"sgd_step", "compiled_step", "eval_after_update"}, done.stderr
    assert "uses no optimizer of MLX's" in reasons["sgd_step"]
    for name in ("compiled_step", "eval_after_update"):
        assert "training.watch(model, optimizer)" in reasons[name]
    assert results["uncompiled_step"]["outcome"] == "completed"
