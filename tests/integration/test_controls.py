"""The harness proves itself: every control gets the verdict that it must."""

from __future__ import annotations

import json
import os
from pathlib import Path

import forked
import jsonschema
import msgspec
import pytest

from harness.analysis.diagnosis.diagnose import diagnose
from harness.analysis.diagnosis.hypotheses import HYPOTHESES as THEORIES
from harness.model import RunResult, Support
from harness.scenario import load

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "run.schema.json").read_text())
CASES = ROOT / "scenarios" / "cases"
QUICK = (
    "array_overwritten",
    "compiled_without_inputs",
    "exit_before_first_step",
    "exploding_learning_rate",
    "fork_deadlock",
    "frozen_parameters",
    "gil_held",
    "growing_batches",
    "growing_shapes",
    "half_precision_overflow",
    "loader_never_yields",
    "masked_labels",
    "nan_gradients_only",
    "nan_log_of_zero",
    "nan_masked_batch",
    "nan_update",
    "never_evaluated",
    "noisy_loss",
    "out_of_memory",
    "retained_gradients",
    "segfault",
    "slow_start",
    "two_locks",
    "uncaught_exception",
)
"""Other tests here run `abort`, and test_faults.py has a flood as that of `output_flood`."""


HYPOTHESES = {
    # Its shapes are why it is traced again and again.
    "growing_shapes": {"retrace", "shapes"},
    "array_overwritten": {"corruption"},
    "child_never_ends": {"data"},
    "compiled_without_inputs": {"learning"},
    "compiler_never_returns": {"retrace"},
    "fork_deadlock": {"deadlock"},
    "frozen_parameters": {"learning"},
    "gil_held": {"deadlock"},
    "loader_never_yields": {"data"},
    "masked_labels": {"learning"},
    "never_evaluated": {"deferred"},
    "out_of_memory": {"memory"},
    "peer_skips_collective": {"data"},
    "retained_gradients": {"leak"},
    "two_locks": {"deadlock"},
    "exploding_learning_rate": {"numerics"},
    "half_precision_overflow": {"numerics"},
    "nan_gradients_only": {"numerics"},
    "nan_log_of_zero": {"numerics"},
    "nan_masked_batch": {"numerics"},
    "nan_update": {"numerics"},
}
"""What the run of one control alone supports; no other supports anything. `stale_compile` takes a
comparison: the case of that name."""

TAKES_A_GPU = {"kernel", "gpu_idle"}
"""Hypotheses of which no fault can be had without a GPU (`gpu_kernel_never_ends`, `idle_gpu`)."""


def supported(run):
    """By control: the hypotheses that its runs support, each taken alone."""
    run = msgspec.convert(run, RunResult, strict=False)
    return {
        result.scenario: {
            one.id
            for one in diagnose([result], run.settings, run.environment).hypotheses
            if one.verdict is Support.SUPPORTED
        }
        for result in run.results
    }


def selftest(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return forked.harness("selftest", *arguments, folder=folder, environment=environment)


def checked(folder, *arguments):
    """The document of a selftest in which everything must be right."""
    done = selftest(folder, *arguments, "--json")
    document = json.loads(done.stdout)
    wrong = [row for row in document["controls"] if row["ok"] is False]
    assert wrong == [], done.stderr
    assert done.returncode == 0
    jsonschema.validate(document["run"], SCHEMA)
    return document


@pytest.mark.unmeasured
def test_the_quick_controls_get_their_verdicts(tmp_path):
    document = checked(tmp_path, *QUICK, "--jobs", "2")
    assert {row["control"] for row in document["controls"]} == set(QUICK)
    causes = {
        result["scenario"]: result["cause"]
        for result in document["run"]["results"]
        if result["outcome"] == "hung"
    }
    assert set(causes) == {"fork_deadlock", "gil_held", "loader_never_yields", "two_locks"}
    for cause in causes.values():
        assert cause["evidence"]["wait_site"]
    found = {name: ids for name, ids in supported(document["run"]).items() if ids}
    assert found == {name: HYPOTHESES[name] for name in QUICK if name in HYPOTHESES}


@pytest.mark.unmeasured
def test_each_hypothesis_has_a_real_fault_that_leads_to_it_alone(tmp_path):
    here = {"stale_compile"}.union(*HYPOTHESES.values())
    assert {theory.id for theory in THEORIES} == here | TAKES_A_GPU
    done = forked.harness("run", CASES / "stale_compile", "--json", folder=tmp_path)
    document = json.loads(done.stdout)
    assert {result["outcome"] for result in document["results"]} == {"completed"}, done.stderr
    losses = {result["scenario"]: result["metrics"]["loss"] for result in document["results"]}
    stale = losses.pop("baseline_update")
    assert stale["first"] == stale["last"]
    assert all(loss["last"] < loss["first"] for loss in losses.values())
    verdicts = {one["id"]: one["verdict"] for one in document["diagnosis"]["hypotheses"]}
    # One says what happens, the other why: the parameters are not among the inputs.
    supported = {id for id, verdict in verdicts.items() if verdict == "supported"}
    assert supported == {"stale_compile", "learning"}
    assert verdicts["corruption"] == "refuted"


def test_a_control_that_gets_another_verdict_fails_the_selftest(tmp_path):
    control = tmp_path / "not_hung.py"
    control.write_text(
        "from baseline_update import make_step\n"
        'VERDICT = {"outcome": "hung", "cause": "deadlock"}\n'
    )
    done = selftest(tmp_path, str(control), "abort")
    assert done.returncode == 1
    assert "completed, not hung" in done.stdout
    assert "1 of 2 got the expected verdict" in done.stdout


def test_a_control_that_cannot_run_here_is_neither_right_nor_wrong(tmp_path):
    control = tmp_path / "elsewhere.py"
    control.write_text(
        "from harness.errors import SkipError\n"
        'VERDICT = {"outcome": "hung"}\n'
        "def make_step(training):\n"
        "    raise SkipError('it takes a machine with wings')\n"
    )
    document = checked(tmp_path, str(control), "abort")
    skipped, ran = document["controls"]
    assert (skipped["ok"], skipped["wrong"]) == (None, ["it takes a machine with wings"])
    assert ran["ok"] is True
    assert selftest(tmp_path, str(control)).returncode == 1


def test_what_declares_no_verdict_is_refused(tmp_path):
    done = selftest(tmp_path, "baseline_update")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "has no VERDICT" in done.stderr
    assert not (tmp_path / "reports").exists()


@pytest.mark.slow
@pytest.mark.timeout(6000)
def test_every_control_gets_its_verdict_three_times_in_a_row(tmp_path):
    """`benchmarks/controls.py` measures ten times, on a machine that has nothing else to do."""
    document = checked(tmp_path, "--repeat", "3", "--jobs", "2")
    assert len(document["controls"]) == 3 * len(load.controls())
    found = supported(document["run"])
    found = {name: ids for name, ids in found.items() if ids}
    assert found == HYPOTHESES
