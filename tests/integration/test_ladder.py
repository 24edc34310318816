"""The ladder as a whole, the way `make run-all` runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parents[2]


def run_all(folder, *arguments, command="run-all"):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = (command, *arguments, "--json")
    done = forked.harness(*words, folder=folder, environment=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["results"]


def told(results):
    """What must not depend on the machine's speed: outcomes, losses, findings of consequence."""
    return [
        (
            r["scenario"],
            r["outcome"],
            r["metrics"]["loss"],
            sorted((f["code"], f["expected"]) for f in r["findings"] if f["severity"] == "error"),
        )
        for r in results
    ]


@pytest.mark.unmeasured
def test_every_variation_completes_and_shows_what_it_is_made_for(tmp_path):
    results = {r["scenario"]: r for r in run_all(tmp_path, "--jobs", "2")}
    assert len(results) == 21
    assert {r["outcome"] for r in results.values()} == {"completed"}
    expected = {
        (name, f["code"]) for name, r in results.items() for f in r["findings"] if f["expected"]
    }
    assert expected >= {
        ("grad_without_update", "parameters_unchanged"),
        ("grad_evaluated_without_update", "parameters_unchanged"),
        ("rebuild_compiled", "retrace_every_step"),
        ("compiled_step", "double_trace"),
    }
    surprises = [
        (name, f["code"])
        for name, r in results.items()
        for f in r["findings"]
        if f["severity"] == "error" and not f["expected"]
    ]
    assert surprises == []

    def loss(name):
        return results[name]["metrics"]["loss"]["last"]

    def memory(name):
        summary = results[name]["metrics"]["memory"]
        return summary["peak_over_p"] * summary["parameter_bytes"]

    # The same arithmetic in another order of evaluation: the same loss, on the CPU to the bit.
    for name in (
        "clear_cache_after_update",
        "eval_after_update",
        "eval_parameters_only",
        "stale_loss_oracle",
        "value_and_grad_recreated",
        "value_and_grad_reused",
    ):
        assert loss(name) == pytest.approx(loss("baseline_update"), rel=1e-4), name
    for name in ("compiled_step", "compiled_step_initialized", "rebuild_compiled", "vjp_step"):
        assert loss(name) == pytest.approx(loss("baseline_update"), rel=1e-2), name
    assert loss("constant_batch") < loss("baseline_update")
    assert memory("grad_without_update") < memory("baseline_update")
    assert memory("half_precision") < memory("baseline_update")
    assert results["compiled_step"]["metrics"]["traces"] == 2
    assert results["compiled_step_initialized"]["metrics"]["traces"] == 1
    assert results["rebuild_compiled"]["metrics"]["traces"] == 10
    assert results["baseline_update"]["metrics"]["traces"] is None
    assert results["tiny_model"]["metrics"]["memory"]["parameter_bytes"] < 100_000


@pytest.mark.slow
def test_cold_or_warm_one_job_or_two_the_verdicts_are_the_same(tmp_path):
    cold = told(run_all(tmp_path, "--cold"))
    assert cold == told(run_all(tmp_path)) == told(run_all(tmp_path, "--jobs", "2"))


@pytest.mark.slow
def test_healthy_runs_on_a_crowded_machine_are_all_healthy(tmp_path):
    """`benchmarks/false_hangs.py` measures hundreds."""
    spinners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        names = ("baseline_update", "compiled_step", "lora_step", "loss_read_every_k")
        results = run_all(
            tmp_path, *names, "--repeat", "5", "--jobs", "4", "--steps", "20", command="run"
        )
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
    assert len(results) == 20
    assert {r["outcome"] for r in results} == {"completed"}
