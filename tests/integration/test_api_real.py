"""The API with real workers, and what a user's type checker sees of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import Scenario, run, run_all
from harness.errors import UsageError

ROOT = Path(__file__).parents[2]
BLOCKS = {
    page: re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.S)
    for page in ("reference/api.md", "guide/pytest.md")
}


def python(*command, folder):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("block", BLOCKS["reference/api.md"])
def test_what_the_documents_show_runs(tmp_path, block):
    (tmp_path / "mine.py").write_text(block)
    done = python("mine.py", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_that_the_documents_show_pass(tmp_path):
    (block,) = BLOCKS["guide/pytest.md"]
    (tmp_path / "test_mine.py").write_text(block)
    done = python("-m", "pytest", "-p", "harness.pytest_plugin", folder=tmp_path)
    assert "1 passed" in done.stdout, done.stdout


TYPED = """
from collections.abc import Sequence
from pathlib import Path

from harness import Run, Runs, Scenario, run, run_all


def make_step(training: object) -> object: ...


one: Run = run(make_step, steps=3, learning_rate=0.1, out=Path("x"))
several: Runs = run_all(["a", make_step, Scenario("b")], repeat=2, optimizer="sgd")
losses: tuple[float, ...] = one.losses
summary: str = one.findings[0].summary
first: Run = several[0]
names: list[str] = [each.scenario for each in several]
some: Sequence[Run] = several[0:1]
"""


def test_the_types_are_strict(tmp_path):
    (tmp_path / "good.py").write_text(TYPED)
    (tmp_path / "bad.py").write_text(
        "from harness import run\n\nrun('a', steps='many')\nrun('a', stepps=1)\nrun('a').nothing\n"
    )
    options = ("--strict", "--no-error-summary", f"--cache-dir={tmp_path / 'cache'}")
    done = python("-m", "mypy", *options, "good.py", "bad.py", folder=tmp_path)
    told = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.partition(": error:")[0] for line in told] == ["bad.py:3", "bad.py:4", "bad.py:5"]


def test_a_run_that_its_own_file_starts_is_refused(tmp_path):
    (tmp_path / "loop.py").write_text(
        "from harness import run\n\n\ndef make_step(training):\n    return print\n\n\n"
        "run(make_step, steps=1)\n"
    )
    done = python("loop.py", folder=tmp_path)
    assert done.returncode == 1
    assert 'put the call under if __name__ == "__main__":' in done.stderr.splitlines()[-1]


def test_a_hang_is_a_result(tmp_path):
    hung = run(ROOT / "scenarios" / "controls" / "two_locks.py", out=tmp_path)
    assert (hung.outcome, hung.cause.code) == ("hung", "deadlock")
    assert "waits for a Python lock" in str(hung)
    assert "hung" in hung.report.read_text()
    assert (hung.folder / "stacks").is_dir()


def test_several_runs_are_compared(tmp_path):
    pair = [Scenario("tiny_model", name=name) for name in ("one", "two")]
    runs = run_all(pair, steps=2, repeat=2, jobs=2, out=tmp_path)
    assert [(each.scenario, each.result.repeat) for each in runs] == [
        ("one", 0), ("two", 0), ("one", 1), ("two", 1),
    ]  # fmt: skip
    assert all(len(each.losses) == len(each.step_times) == 2 for each in runs)
    assert [summary.scenario for summary in runs.result.repeats] == ["one", "two"]


def test_usage_errors_leave_no_folder(tmp_path):
    with pytest.raises(UsageError, match="unknown model"):
        run("tiny_model", model="/nowhere", out=tmp_path / "reports")
    assert not (tmp_path / "reports").exists()
