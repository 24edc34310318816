"""What can go wrong in a worker: the right outcome, nothing left, nothing lost.

Every test runs `harness run` on tests/victims/fault_steps.py in a real process. Afterwards no
process that descends from it may be alive, its temporary folders must be gone, and each step whose
beat reached the disk must be counted in the report.
"""

from __future__ import annotations

import contextlib
import re
import sys

import pytest
from trial import STEP, Trial

linux = pytest.mark.skipif(sys.platform != "linux", reason="as only Linux does it")


def codes(result):
    return {finding["code"] for finding in result["findings"]}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("segmentation_fault", "killed by SIGSEGV in step 3"),
        ("bus_error", "killed by SIGBUS in step 3"),
        ("native_abort_in_a_thread", "killed by SIGABRT in step 3"),
        ("killed_for_its_cpu_time", "killed by SIGXCPU in step 3"),
        ("leaves_in_the_middle", "exited with code 0 in step 3"),
        ("becomes_another_program", "exited with code 0 in step 3"),
        ("keyboard_interrupt", "killed by SIGINT in step 3"),
        ("memory_error", "MemoryError"),
        ("recursion", "RecursionError"),
        ("unprintable_exception", "UnprintableError"),
        ("exception_that_is_no_text", "ValueError: half a pair"),
        ("not_text", "ValueError: after the bytes"),
        ("terminal_escapes", "ValueError: after the"),
        pytest.param("fork_bomb", "killed by SIGABRT in step 3", marks=linux),
    ],
)
def test_what_kills_a_worker(trial, fault, told):
    result = trial.run(fault)
    assert result["outcome"] == "crashed"
    assert told in result["reason"]
    assert (result["steps_completed"], result["last_step"]) == (STEP, STEP)


@pytest.mark.parametrize(
    "fault",
    [
        "zombies",
        "threads",
        "daemon_threads_at_exit",
        "exit_in_a_thread",
        "signals_its_parents",
        "closes_its_output",
        "changes_folder",
        "deletes_its_temporary_folder",
        "may_open_nothing",
        "time_stands_back",
        "floods",
        "deletes_its_slot",
        "garbles_its_slot",
        pytest.param("escapee", marks=linux),
    ],
)
def test_what_a_worker_survives(trial, fault):
    result = trial.run(fault)
    assert result["outcome"] == "completed", result["reason"]
    assert result["steps_completed"] == 10
    assert "beats_lost" not in codes(result)


@pytest.mark.waits
@pytest.mark.parametrize(
    ("fault", "phase"),
    [
        ("hangs_at_exit", "exit"),
        ("thread_outlives_the_end", "exit"),
        ("becomes_a_program_that_waits", "forward"),
        ("hangs_ignoring_term", "forward"),
        ("hangs_among_zombies", "forward"),
        ("hangs_with_hundreds_of_threads", "forward"),
        pytest.param("hangs_with_an_escapee", "forward", marks=linux),
    ],
)
def test_what_hangs_in_spite_of_everything(trial, fault, phase):
    result = trial.run(fault, "--patience", 5)
    assert result["outcome"] == "hung"
    assert result["last_phase"] == phase
    assert result["steps_completed"] == (10 if phase == "exit" else STEP)
    assert 0 <= result["stalled_at_s"] <= result["detected_at_s"] <= result["wall_s"]


@pytest.mark.parametrize("fault", ["spins", "spins_ignoring_term"])
def test_a_budget_ends_what_nobody_can_judge(tmp_path, fault):
    for budget in (3, 12, 48):  # a loaded machine may need longer to come to where it spins
        folder = tmp_path / str(budget)
        folder.mkdir()
        with contextlib.closing(Trial(folder)) as trial:
            result = trial.run(fault, "--budget", budget)
        assert result["outcome"] == "unfinished"
        if result["last_step"] == STEP:
            break
    assert result["last_step"] == result["steps_completed"] == STEP
    # Where it spins is told none the less.
    assert re.search(r"; it .* in \w+$", result["reason"])
    assert [*trial.folder.glob("reports/*/*/0/stacks/1-*.txt")]


def test_a_record_with_garbage_in_it(trial):
    result = trial.run("tears_its_record")
    assert result["outcome"] == "completed"
    (finding,) = [f for f in result["findings"] if f["code"] == "beats_lost"]
    assert finding["evidence"]["torn"] == 5


@pytest.mark.parametrize(
    ("fault", "steps"),
    [
        ("closes_every_file", STEP),
        ("may_write_nothing", STEP),
        ("deletes_its_record", 0),
    ],
)
def test_a_record_that_does_not_reach_the_end_is_no_success(trial, fault, steps):
    result = trial.run(fault)
    assert result["outcome"] == "crashed"
    assert "the record is incomplete" in result["reason"]
    assert result["steps_completed"] == steps


def test_a_record_cut_off_at_its_front(trial):
    result = trial.run("truncates_its_record")
    assert result["outcome"] == "crashed"
    assert "7 of 10 steps" in result["reason"]


def test_a_record_whose_folder_is_gone(trial):
    result = trial.run("deletes_its_folder")
    assert result["outcome"] == "crashed"
    assert "during start-up" in result["reason"]


def test_beats_that_are_lost_for_a_while_are_counted(trial):
    result = trial.run("may_write_nothing_for_a_while", completed=10)
    assert result["outcome"] == "completed"
    (finding,) = [f for f in result["findings"] if f["code"] == "beats_lost"]
    assert finding["evidence"]["lost"] == 4  # two a step, until halfway
    assert "File too large" in finding["summary"]
