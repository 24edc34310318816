"""Runs that are not started, because nobody would learn from them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import forked
import pytest

from harness.scenario import load

ROOT = Path(__file__).parents[2]
VICTIM = ROOT / "tests" / "victims" / "fault_steps.py"


def from_the_source(folder, *words, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return forked.harness(*words, folder=folder, environment=environment)


def harness(folder, *arguments, **environment):
    return from_the_source(folder, *arguments, "--json", "--out", folder, **environment)


@pytest.mark.unmeasured
def test_a_ladder_ends_when_nothing_left_could_change_the_diagnosis(tmp_path):
    done = harness(tmp_path, "run-all", "--until-decided", "--model", "micro")
    document = json.loads(done.stdout)
    ran = {result["scenario"] for result in document["results"]}
    left = {one["scenario"] for one in document["left_out"]}
    assert ran | left == {info.name for info in load.ladder()}
    assert not ran & left
    assert left
    assert document["results"][0]["scenario"] == load.BASELINE
    # What is left out is not what it then asks for.
    assert not left & set((document["diagnosis"]["next_experiment"] or "").split())
    assert f"{len(left)} runs not started" in " ".join(done.stderr.split())
    (report,) = tmp_path.glob("*/report.md")
    assert f"{len(left)} runs not started" in report.read_text()


def test_a_scenario_that_failed_so_often_is_not_repeated(tmp_path):
    arguments = ("run", VICTIM, "--repeat", "5", "--stop-after", "2")
    done = harness(tmp_path, *arguments, FAULT="segmentation_fault")
    document = json.loads(done.stdout)
    assert [result["outcome"] for result in document["results"]] == ["crashed"] * 2
    assert [one["repeat"] for one in document["left_out"]] == [2, 3, 4]
    assert done.returncode == 1


def test_a_healthy_scenario_is_repeated_to_the_end(tmp_path):
    arguments = ("run", VICTIM, "--repeat", "3", "--stop-after", "1")
    document = json.loads(harness(tmp_path, *arguments, FAULT="nothing").stdout)
    assert [result["outcome"] for result in document["results"]] == ["completed"] * 3
    assert document["left_out"] == []


@pytest.mark.unmeasured
def test_the_suggestions_are_commands_that_add_to_the_run_and_come_to_an_end(tmp_path):
    words = ["run", "baseline_update", "--model", "micro", "--steps", "6", "--jobs", "2"]
    words += ["--batch-size", "1", "--seq-len", "4", "--no-collective-beats", "--out", "my runs"]
    untested, kept = [], []
    while words:
        done = from_the_source(tmp_path, *words, "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["results"][: len(kept)] == kept
        assert len(document["results"]) > len(kept)
        kept = document["results"]
        found = document["diagnosis"]
        untested.append(sum(one["verdict"] == "untested" for one in found["hypotheses"]))
        words = shlex.split(found["next_experiment"] or "")[3:]
    assert untested == sorted(untested, reverse=True)
    assert untested[-1] < untested[0]
    (folder,) = (tmp_path / "my runs").glob("*-*")
    assert json.loads((folder / "run.json").read_text()) == document
    assert len(document["continued"]) == len(untested) - 1
    assert {"compiled_step", "stale_loss_oracle"} <= {one["scenario"] for one in kept}


@pytest.mark.skipif(sys.platform != "linux", reason="a hang is proven in a second on Linux only")
def test_a_hang_that_comes_now_and_then_is_one_hang_with_its_probability(tmp_path):
    done = harness(tmp_path, "run", VICTIM, "--repeat", "6", "--stop-after", "2",
                   FAULT="hangs_in_odd_repeats")  # fmt: skip
    document = json.loads(done.stdout)
    outcomes = [result["outcome"] for result in document["results"]]
    assert outcomes == ["completed", "hung", "completed", "hung"]
    (summary,) = document["repeats"]
    (hang,) = summary["hangs"]
    assert (hang["share"]["count"], hang["share"]["of"], hang["step"]) == (2, 4, 3)
    assert hang["fingerprint"]
    assert "hung at step 3 in 2 of 4 runs (15 to 85 %)" in " ".join(done.stderr.split())
    (report,) = tmp_path.glob("*/report.md")
    assert "hung at step 3 in 2 of 4 runs" in report.read_text()
    folder = str(report.parent)
    compared = harness_compare(tmp_path, folder, folder)
    assert compared["setup"] == []
    assert compared["scenarios"][0]["outcomes"]["mark"] == "same"


def harness_compare(folder, a, b):
    done = from_the_source(folder, "compare", a, b, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
