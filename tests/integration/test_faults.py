"""What can go wrong in a worker and around it: the right outcome, nothing left, nothing lost.

Every test runs `harness run` on tests/victims/fault_steps.py in a real process. Afterwards no
process that descends from it may be alive, its temporary folders must be gone, and each step whose
beat reached the disk must be counted in the report.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
VICTIM = ROOT / "tests" / "victims" / "fault_steps.py"
STEP = 3
"""The step in which the victim's faults happen."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="as only Linux does it")


class Trial:
    """One run of the victim under the harness, and what must be true of it whatever happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.ready = folder / "ready"
        self.go = folder / "go"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temporary),
            "READY": str(self.ready),
            "GO": str(self.go),
            "TRIAL": str(folder),
        }

    def command(self, *options) -> list[str]:
        """`python -m harness run VICTIM`, to be started by the test itself."""
        arguments = ["run", VICTIM, "--json", "--out", self.folder / "reports", *options]
        return [sys.executable, "-m", "harness", *map(str, arguments)]

    def start(self, fault: str, *options, **popen) -> subprocess.Popen:
        self.environment["FAULT"] = fault
        return subprocess.Popen(
            self.command(*options),
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )

    def run(self, fault: str, *options, **popen) -> dict:
        """The run's only result."""
        with self.start(fault, *options, **popen) as process:
            return self.finish(process)

    def finish(self, process: subprocess.Popen) -> dict:
        self.output, self.errors = process.communicate()
        self.code = process.returncode
        self.nothing_is_left()
        assert "Traceback" not in self.errors
        (result,) = json.loads(self.output)["results"]
        assert self.code == (result["outcome"] not in ("completed", "skipped")), self.errors
        self.nothing_is_lost(result)
        return result

    def nothing_is_left(self) -> None:
        assert until(lambda: not self.processes())
        assert until(lambda: not list(self.temporary.iterdir()))

    def processes(self) -> list[psutil.Process]:
        """All that descend from this trial's harness, known by their environment."""
        return [
            process
            for process in psutil.process_iter()
            if environment(process).get("TRIAL") == str(self.folder)
        ]

    def nothing_is_lost(self, result: dict) -> None:
        losses = {beat["step"]: beat["loss"] for beat in self.beats() if beat["k"] == "step"}
        assert result["steps_completed"] == len(losses)
        if losses:
            assert result["metrics"]["loss"]["last"] == losses[max(losses)]
        assert json.loads((self.run_folder / "run.json").read_text())["results"] == [result]
        report = (self.run_folder / "report.md").read_text(encoding="utf-8")
        assert result["outcome"] in report
        assert "\x1b" not in report
        ElementTree.parse(self.run_folder / "junit.xml")

    def beats(self) -> list[dict]:
        """Every line of beats.jsonl that is a beat."""
        try:
            lines = (self.home / "beats.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [beat for beat in map(parsed, lines) if isinstance(beat, dict) and "k" in beat]

    @property
    def run_folder(self) -> Path:
        (folder,) = (self.folder / "reports").iterdir()
        return folder

    @property
    def home(self) -> Path:
        """The folder of the only run of the only scenario."""
        return self.run_folder / VICTIM.stem / "0"

    def worker(self) -> psutil.Process:
        """The worker, once it has said that it waits in its fault."""
        assert until(lambda: self.ready.exists() and self.ready.read_text())
        return psutil.Process(int(self.ready.read_text()))


@pytest.fixture
def trial(tmp_path):
    trial = Trial(tmp_path)
    yield trial
    for process in trial.processes():
        process.kill()


def environment(process: psutil.Process) -> dict:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def parsed(line: bytes):
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def until(condition, seconds=120.0):
    """Wait for `condition`; its last value. Generous: a loaded machine is slow, not wrong."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


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


@pytest.mark.parametrize(
    ("fault", "phase"),
    [
        ("hangs_at_exit", "exit"),
        ("thread_outlives_the_end", "exit"),
        ("becomes_a_program_that_sleeps", "forward"),
        ("hangs_ignoring_term", "forward"),
        ("hangs_among_zombies", "forward"),
        ("hangs_with_a_thousand_threads", "forward"),
        pytest.param("hangs_with_an_escapee", "forward", marks=linux),
    ],
)
def test_what_hangs_in_spite_of_everything(trial, fault, phase):
    result = trial.run(fault)
    assert result["outcome"] == "hung"
    assert result["last_phase"] == phase
    assert result["steps_completed"] == (10 if phase == "exit" else STEP)
    assert 0 <= result["stalled_at_s"] <= result["detected_at_s"] <= result["wall_s"]


@pytest.mark.parametrize("fault", ["spins", "spins_ignoring_term"])
def test_a_budget_ends_what_nobody_can_judge(trial, fault):
    result = trial.run(fault, "--budget", 3)
    assert result["outcome"] == "unfinished"
    assert result["last_step"] == result["steps_completed"] == STEP


def test_a_record_with_garbage_in_it(trial):
    result = trial.run("tears_its_record")
    assert result["outcome"] == "completed"
    (finding,) = [f for f in result["findings"] if f["code"] == "beats_lost"]
    assert finding["evidence"]["torn"] == 5
