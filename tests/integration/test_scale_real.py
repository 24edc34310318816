"""Runs of many steps, and what their lazy graphs are told to have done, with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


@pytest.mark.unmeasured
def test_memory_grows_with_the_steps_of_a_report_and_not_with_those_supervised(tmp_path):
    out = tmp_path / "scale.json"
    # In a process of its own: a test's own memory would count as that of what it starts.
    subprocess.run(
        [sys.executable, "benchmarks/scale.py", "--most", "100000", "--supervised", "50000",
         "--out", str(out)],
        cwd=ROOT,
        check=True,
    )  # fmt: skip
    result = json.loads(out.read_text())["result"]
    assert [one["steps"] for one in result["report"]] == [1000, 10_000, 100_000]
    for figure in ("judge_and_report_rss", "report_rss"):
        # Some 150 bytes a step: a run of a million stays below 300 MB.
        assert result["per_further_step"][figure][-1] < 270
    held = result["supervisor"]
    assert held["looks"] > 1
    assert held["rss_highest"] - held["rss_first"] < 8 * MIB


def told(folder: Path, *scenarios: str) -> dict[str, str | None]:
    """The summary of each scenario's `deferred_evaluation`, None where there is none."""
    done = forked.harness(
        *("run", *scenarios, "--model", "micro", "--json"),
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    return {
        result["scenario"]: next(
            (f["summary"] for f in result["findings"] if f["code"] == "deferred_evaluation"), None
        )
        for result in results
    }


def test_it_is_told_which_step_evaluates_what_others_left(tmp_path):
    summaries = told(
        tmp_path,
        "baseline_update",
        "compiled_step",
        "eval_after_update",
        "grad_without_update",
        "loss_read_every_k",
    )
    baseline, read = summaries["baseline_update"], summaries["loss_read_every_k"]
    assert baseline.startswith("step 1 (")
    assert "also ran the backward pass and update of step 0: " in baseline
    assert "also ran work left over from step 0: " in summaries["compiled_step"]
    assert summaries["eval_after_update"] is None
    assert summaries["grad_without_update"] is None
    assert read.startswith("step 2 (")
    assert "also ran all of steps 0 and 1: " in read
    (report,) = tmp_path.glob("reports/*/report.md")
    text = report.read_text(encoding="utf-8")
    assert "Looked at in " in text
