"""The code of an issue's draft, taken out and run alone, does what the harness saw."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.beatfile import read_beats
from harness.model import StepBeat

ROOT = Path(__file__).parents[2]


def harness(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def drafted(tmp_path, *arguments):
    """The draft of a run, its folder and its code as a file."""
    harness(tmp_path, "run", *arguments, "--out", "reports")
    (folder,) = (tmp_path / "reports").iterdir()
    done = harness(tmp_path, "report", str(folder), "--issue")
    assert done.returncode == 0, done.stderr
    assert (folder / "issue.md").read_text() == done.stdout
    (code,) = re.findall(r"```python\n(.*?)\n```", done.stdout, re.DOTALL)
    file = tmp_path / "repro.py"
    file.write_text(code)
    return folder, file


def alone(file):
    # Isolated: neither this project nor anything beside the file can be imported.
    return [sys.executable, "-I", str(file)]


def printed(text):
    return [float(value) for value in re.findall(r"^step \d+: loss (\S+)$", text, re.MULTILINE)]


@pytest.mark.parametrize("name", ["baseline_update", "compiled_step"])
def test_what_completed_completes_with_the_same_losses(tmp_path, name):
    folder, file = drafted(tmp_path, name, "--steps", "5", "--seed", "3", "--model", "micro")
    done = subprocess.run(alone(file), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("completed\n")
    seen = [beat.loss for beat in read_beats(folder / name / "0") if isinstance(beat, StepBeat)]
    assert printed(done.stdout) == pytest.approx(seen, rel=1e-3)


def test_what_diverged_diverges(tmp_path):
    folder, file = drafted(tmp_path, "half_precision_overflow")
    assert json.loads((folder / "run.json").read_text())["results"][0]["outcome"] == "diverged"
    done = subprocess.run(alone(file), capture_output=True, text=True, check=True)
    assert "nan" in done.stdout


def test_what_crashed_crashes_in_the_same_step(tmp_path):
    folder, file = drafted(tmp_path, "segfault")
    result = json.loads((folder / "run.json").read_text())["results"][0]
    done = subprocess.run(alone(file), capture_output=True, text=True)
    assert done.returncode == -11
    assert len(printed(done.stdout)) == result["steps_completed"]


def test_what_hung_hangs_in_the_same_step(tmp_path):
    folder, file = drafted(tmp_path, "two_locks")
    result = json.loads((folder / "run.json").read_text())["results"][0]
    assert result["outcome"] == "hung"
    process = subprocess.Popen(alone(file), stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(result["steps_completed"])]
        assert len(printed("".join(lines))) == result["steps_completed"]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
    finally:
        process.kill()
        process.communicate()
