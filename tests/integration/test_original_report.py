"""The report that the harness started from: what its author saw, and what explains it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import forked
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
ROOT = Path(__file__).parents[2]
LIGHT = ROOT / "tests" / "light"
CASE = ROOT / "scenarios" / "cases" / "original_report"
SMALLER = {
    '"hidden_size": 1024': '"hidden_size": 704',
    '"intermediate_size": 2752': '"intermediate_size": 1892',
    "P = 186_683_392": "P = 88_470_272",
}
"""What makes the case's model half as large: all that it shows is told in multiples of P."""


def run_of_the_case(folder, changes):
    shutil.copytree(CASE, folder / "case")
    common = folder / "case" / "_limited.py"
    for old, new in changes.items():
        assert common.read_text().count(old) == 1
        common.write_text(common.read_text().replace(old, new))
    # Unmeasured: other tests run the same lines.
    environment = {**os.environ, "PYTHONPATH": f"{LIGHT}:{ROOT}", "HARNESS_MEASURED": ""}
    words = ("run", "case", "--steps", "2", "--json", "--jobs", "2")
    done = forked.harness(*words, folder=folder, environment=environment)
    assert done.returncode == 1, done.stderr
    (folder / "document.json").write_text(done.stdout)


@pytest.fixture(scope="session", params=["smaller", pytest.param("whole", marks=pytest.mark.slow)])
def document(once, request):
    name, changes = request.param, SMALLER if request.param == "smaller" else {}
    made = once(f"original-report-{name}", lambda folder: run_of_the_case(folder, changes))
    return json.loads((made / "document.json").read_text())


@pytest.fixture(scope="session")
def results(document):
    return {result["scenario"]: result for result in document["results"]}


@pytest.mark.parametrize(
    "name", ["baseline_update", "clear_cache_after_update", "vjp_step", "value_and_grad_recreated"]
)
def test_the_reports_step_and_its_cures_pass_step_0_and_die_in_step_1(results, name):
    assert results[name]["outcome"] == "crashed"
    assert (results[name]["steps_completed"], results[name]["last_step"]) == (1, 1)


@pytest.mark.parametrize("name", ["eval_after_update", "update_without_grad"])
def test_what_defers_nothing_dies_in_step_0(results, name):
    assert results[name]["outcome"] == "crashed"
    assert (results[name]["steps_completed"], results[name]["last_step"]) == (0, 0)


@pytest.mark.parametrize(
    "name", ["grad_without_update", "grad_evaluated_without_update", "sgd_step", "tiny_model",
             "room_for_7_p", "stale_loss_oracle"]
)  # fmt: skip
def test_what_needs_less_or_has_more_room_completes(results, name):
    assert results[name]["outcome"] == "completed"
    assert "check_failed" not in {finding["code"] for finding in results[name]["findings"]}


def test_test_2_tested_nothing(results):
    """Its gradients were never computed: it needs no memory for them, and what reads them does."""
    lazy, evaluated = (
        results[name]["metrics"]["memory"]["peak_over_p"]
        for name in ("grad_without_update", "grad_evaluated_without_update")
    )
    assert lazy < 1.5
    assert evaluated > lazy + 0.8
    assert not results["grad_without_update"]["metrics"]["parameters_changed"]


def test_it_is_memory_with_deferred_work_not_corruption_not_deadlock(document):
    verdicts = {one["id"]: one["verdict"] for one in document["diagnosis"]["hypotheses"]}
    supported = {id for id, verdict in verdicts.items() if verdict == "supported"}
    assert supported == {"memory", "deferred"}
    assert verdicts["corruption"] == verdicts["deadlock"] == "refuted"
    (memory,) = (h for h in document["diagnosis"]["hypotheses"] if h["id"] == "memory")
    first = memory["because"][0]
    assert "with as many parameters, room_for_7_p completes 4 steps" in first
    assert first.count("phase eval") == 1
    # The shipped ladder has another model, and no limit.
    assert document["diagnosis"]["next_experiment"] is None
    assert "your own" in document["diagnosis"]["no_experiment"]
