"""A run of tests/victims/fault_steps.py under the harness, and what must hold whatever happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import forked
import psutil

ROOT = Path(__file__).parents[2]
VICTIM = ROOT / "tests" / "victims" / "fault_steps.py"
STEP = 3
"""The step in which the victim's faults happen."""


class Trial:
    """One run of the victim in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.harness: subprocess.Popen | None = None
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

    def words(self, *options) -> list[str]:
        return [*map(str, ("run", VICTIM, "--json", "--out", self.folder / "reports", *options))]

    def command(self, *options) -> list[str]:
        return [sys.executable, "-m", "harness", *self.words(*options)]

    def start(self, fault: str, *options, through: Sequence[str] = (), **popen) -> subprocess.Popen:
        """Start the harness; `through`: a program in front of it, given its command line."""
        self.environment["FAULT"] = fault
        pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        self.harness = subprocess.Popen(
            [*through, *self.command(*options)],
            env=self.environment,
            cwd=self.folder,
            text=True,
            **{**pipes, **popen},
        )
        return self.harness

    def with_module(self, name: str, code: str) -> None:
        """Let every Python that is started find this module first.

        Of the name `sitecustomize` it is run before anything else.
        """
        folder = self.folder / "modules"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(code)
        if str(folder) not in self.environment["PYTHONPATH"]:
            self.environment["PYTHONPATH"] += f"{os.pathsep}{folder}"

    def run(self, fault: str, *options, completed: int | None = None) -> dict:
        """The run's only result. `completed`: the steps to be told, where beats must get lost."""
        if (self.folder / "modules").exists():  # Python reads its path when it starts
            self.start(fault, *options)
            return self.finish(completed)
        done = self.ended(fault, *options)
        return self.told(done.returncode, done.stdout, done.stderr, completed)

    def begin(self, fault: str, *options) -> Future[dict]:
        """What `run` returns, while the test goes on."""
        runs = ThreadPoolExecutor(1)
        result = runs.submit(self.run, fault, *options)
        runs.shutdown(wait=False)
        return result

    def ended(self, fault: str, *options) -> subprocess.CompletedProcess[str]:
        self.environment["FAULT"] = fault
        words = self.words(*options)
        return forked.harness(*words, folder=self.folder, environment=self.environment)

    def finish(self, completed: int | None = None) -> dict:
        output, errors = self.harness.communicate()
        return self.told(self.harness.returncode, output, errors, completed)

    def told(self, code: int, output: str, errors: str | None, completed: int | None) -> dict:
        """The run's only result, once all that has to hold was checked."""
        self.nothing_is_left()
        assert "Traceback" not in (errors or "")
        (result,) = json.loads(output)["results"]
        assert code == (result["outcome"] != "completed"), errors
        self.nothing_is_lost(result, completed)
        return result

    def close(self) -> None:
        """After a test that failed nothing goes on either."""
        for process in self.processes():
            process.kill()
        if self.harness is not None:
            with self.harness:
                pass

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

    def nothing_is_lost(self, result: dict, completed: int | None = None) -> None:
        losses = {beat["step"]: beat["loss"] for beat in self.beats() if beat["k"] == "step"}
        assert result["steps_completed"] == (len(losses) if completed is None else completed)
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
        (folder,) = (self.folder / "reports").glob("*-*")
        return folder

    @property
    def home(self) -> Path:
        """The folder of the only run of the only scenario."""
        return self.run_folder / VICTIM.stem / "0"

    def worker(self) -> psutil.Process:
        """The worker, once it has said that it waits in its fault."""
        assert until(lambda: self.ready.exists() and self.ready.read_text())
        return psutil.Process(int(self.ready.read_text()))


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


def until(condition, seconds=300.0):
    """Wait for `condition`; its last value. Generous: a loaded machine is slow, not wrong."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value
