"""What is done with a hung worker: kept, or waited for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

import psutil
import pytest
from trial import STEP, until

pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(
        sys.platform != "linux", reason="what a thread waits for is known on Linux only"
    ),
]


@pytest.fixture
def slow_tool(trial):
    """Of a trial, a stack tool that answers, and says nothing, once `answer` is there.

    Its file `tool` is there once it runs.
    """
    trial.with_module(
        "sitecustomize",
        "from harness.stacks import capture\n"
        "capture.capture_twice.__kwdefaults__['timeout'] = 3600.0\n",
    )
    trial.with_module(
        "pystack",
        "import glob, os, time\n"
        "home = os.environ['TRIAL']\n"
        "if glob.glob(home + '/reports/*/*/*/stacks'):  # the evidence, not a look in doubt\n"
        "    open(home + '/tool', 'w').close()\n"
        "    while not os.path.exists(home + '/answer'): time.sleep(0.05)\n",
    )
    return trial.folder / "tool", trial.folder / "answer"


def state(trial, name="state.json"):
    """Whether the evidence of a hang has been saved."""
    reports = trial.folder / "reports"
    return list(reports.glob(f"*/*/*/{name}")) if reports.exists() else []


def test_a_hang_that_is_waited_for_and_resolves_itself_is_transient(trial):
    run = trial.begin("hangs_until_a_signal", "--patience", "0", "--on-hang", "wait")
    worker = trial.worker()
    assert until(lambda: state(trial))
    worker.send_signal(signal.SIGUSR2)
    result = run.result()
    assert result["outcome"] == "completed"
    assert result["cause"] is None
    (finding,) = [one for one in result["findings"] if one["code"] == "hang_transient"]
    assert finding["evidence"]["step"] == STEP
    assert finding["evidence"]["cause"] == "waiting"
    assert finding["evidence"]["lasted_s"] > 0
    assert list((trial.home / "stacks").iterdir())
    assert "hang_transient" in (trial.run_folder / "report.md").read_text()


def test_a_second_hang_has_evidence_of_its_own(trial):
    run = trial.begin("hangs_twice_until_a_signal", "--patience", "0", "--on-hang", "wait")
    worker = trial.worker()
    for name in ("state.json", "state-2.json"):
        assert until(lambda name=name: state(trial, name))
        worker.send_signal(signal.SIGUSR2)
    result = run.result()
    assert result["outcome"] == "completed"
    codes = [one["code"] for one in result["findings"]]
    assert codes.count("hang_transient") == 2
    assert list((trial.home / "stacks-2").iterdir())


def test_a_hang_that_is_waited_for_in_vain_is_hung_when_the_budget_ends(trial):
    result = trial.run(
        "hangs_until_a_signal", "--patience", "0", "--on-hang", "wait", "--budget", "25"
    )
    assert result["outcome"] == "hung"
    assert result["cause"]["code"] == "waiting"
    assert result["detected_at_s"] < result["wall_s"]
    assert result["last_step"] == STEP


def test_a_hang_that_is_waited_for_and_killed_by_somebody_else_did_not_go_on(trial):
    run = trial.begin("hangs_until_a_signal", "--patience", "0", "--on-hang", "wait")
    worker = trial.worker()
    assert until(lambda: state(trial))
    worker.kill()
    result = run.result()
    assert (result["outcome"], result["signal"]) == ("hung", "SIGKILL")
    assert result["cause"]["code"] == "waiting"
    assert result["reason"].endswith("; it was then killed by SIGKILL")
    assert "hang_transient" not in [one["code"] for one in result["findings"]]


def test_a_hung_worker_that_is_kept_outlives_the_harness_and_dies_whole(trial):
    done = trial.ended("hangs_until_a_signal", "--patience", "0", "--on-hang", "keep")
    assert done.returncode == 1, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["outcome"] == "hung"
    worker = psutil.Process(result["cause"]["evidence"]["kept_pid"])
    guard = worker.parent()
    assert str(worker.pid) in result["reason"]
    assert worker.is_running()
    assert worker.status() != psutil.STATUS_ZOMBIE
    assert list((trial.home / "stacks").iterdir())
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGKILL)
    # The guard sees its end, removes what was lent to it, and goes.
    assert until(lambda: not guard.is_running() or guard.status() == psutil.STATUS_ZOMBIE)
    trial.nothing_is_left()


@pytest.mark.parametrize("policy", ["kill", pytest.param("keep", marks=pytest.mark.slow), "wait"])
def test_what_goes_on_while_it_is_looked_at_is_not_hung(trial, slow_tool, policy):
    looks, answer = slow_tool
    trial.start("hangs_until_a_signal", "--patience", "0", "--on-hang", policy)
    worker = trial.worker()
    assert until(looks.exists)
    worker.send_signal(signal.SIGUSR2)
    assert until(lambda: any(beat.get("step") == STEP for beat in trial.beats()))
    answer.touch()
    result = trial.finish()
    assert result["outcome"] == "completed"
    assert "hang_transient" in [one["code"] for one in result["findings"]]


@pytest.mark.parametrize("policy", ["kill", "keep", pytest.param("wait", marks=pytest.mark.slow)])
def test_a_hang_that_is_killed_by_somebody_else_while_it_is_looked_at(trial, slow_tool, policy):
    looks, answer = slow_tool
    trial.start("hangs_until_a_signal", "--patience", "0", "--on-hang", policy)
    worker = trial.worker()
    assert until(looks.exists)
    worker.kill()
    worker.wait(60)
    answer.touch()
    result = trial.finish()
    assert (result["outcome"], result["signal"]) == ("hung", "SIGKILL")
    assert result["cause"]["code"] == "waiting"
    assert result["reason"].endswith("; it was then killed by SIGKILL")


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        ("hangs_and_fails_at_a_signal", "crashed", "RuntimeError: woken"),
        ("hangs_and_exits_at_a_signal", "hung", "it then exited with code 7"),
    ],
)
def test_a_hang_that_is_waited_for_and_ends_badly_by_itself(trial, fault, outcome, reason):
    """An exception is a word of the worker, who went on; an exit code alone is none."""
    run = trial.begin(fault, "--patience", "0", "--on-hang", "wait")
    worker = trial.worker()
    assert until(lambda: state(trial))
    worker.send_signal(signal.SIGUSR2)
    result = run.result()
    assert result["outcome"] == outcome
    assert reason in result["reason"]
    passed = "hang_transient" in [one["code"] for one in result["findings"]]
    assert passed == (outcome == "crashed")


def test_a_healthy_run_is_the_same_whatever_is_done_with_the_hung(trial):
    for policy in ("keep", "wait"):
        done = trial.ended("nothing", "--on-hang", policy, "--out", trial.folder / policy)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["results"][0]["outcome"] == "completed"
        trial.nothing_is_left()
