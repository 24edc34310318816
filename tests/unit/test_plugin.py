"""The pytest plugin's names and words; what it does is tested with real sessions of pytest."""

from __future__ import annotations

from pathlib import Path

import fakes
import pytest

from harness.api import Run
from harness.model import Outcome
from harness.pytest_plugin import failure
from harness.pytest_plugin.collect import is_scenario
from harness.pytest_plugin.running import folder_name


def test_no_two_tests_share_a_folder():
    long = "x" * 150
    nodeids = ["t.py::test_x[a/b]", "t.py::test_x[a-b]", f"t.py::{long}a", f"u.py::{long}a"]
    names = [folder_name(nodeid) for nodeid in nodeids]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) < 120 for name in names)
    assert folder_name("t.py::test_x") == "t.py-test_x"


@pytest.mark.parametrize(
    ("step", "phase", "place"),
    [(3, "eval", "in step 3, eval"), (None, "setup", "in setup"), (None, None, "before it began")],
)
def test_a_timeout_tells_where_it_was(step, phase, place, tmp_path):
    result = fakes.result("slow", Outcome.UNFINISHED, last_step=step, last_phase=phase)
    text = failure.timeout(Run(result, tmp_path, Path("report.md")), 3.0, {})
    assert text.startswith(f"Timeout (>3.0s) from pytest-timeout: slow {place}\n")


def test_a_verdict_that_comes_when_the_limit_is_reached_is_told(tmp_path):
    text = failure.timeout(Run(fakes.hung(), tmp_path, Path("report.md")), 3.0, {})
    first = text.splitlines()[0]
    assert first.startswith(
        "Timeout (>3.0s) from pytest-timeout: compiled_step hung in step 1, eval: deadlock"
    )
    crashed = fakes.result(outcome=Outcome.CRASHED, reason="killed by SIGSEGV")
    text = failure.timeout(Run(crashed, tmp_path, Path("report.md")), 3.0, {})
    assert "killed by SIGSEGV" in text.splitlines()[0]


def test_whose_stacks_they_are_is_told_by_their_folder(tmp_path):
    text = 'Traceback for thread 7 (python) []:\n    (Python) File "a.py", line 3, in wait\n'
    for name in (".", "99", "rank-2", "rank-10"):
        (tmp_path / "stacks" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "stacks" / name / "1-pystack.txt").write_text(text)
    lines = failure.failure(Run(fakes.result(), tmp_path, Path("report.md"))).splitlines()
    by = "-- stacks by pystack"
    assert [line for line in lines if line.startswith(by)] == [
        f"{by}{whose}, innermost first" for whose in ("", ", process 99", ", rank 2", ", rank 10")
    ]


@pytest.mark.parametrize(
    ("source", "known"),
    [
        (b"def make_step(training): ...", True),
        (b"from other import make_step", True),
        (b"from other import build as make_step", True),
        (b"make_step = partial(build, 3)", True),
        (b"def make_step(training)\n    pass", True),
        (b"# calls make_step", False),
        (b"def main():\n    from other import make_step", False),
        (b"def make_step_fixture(): ...", False),
        (b"print 'make_step'", False),
    ],
)
def test_a_scenario_makes_a_step_and_does_not_only_speak_of_one(source, known):
    assert is_scenario(source) is known


def test_of_a_stack_calls_without_a_name_are_left_out(tmp_path):
    (tmp_path / "stacks").mkdir()
    calls = (
        "#0  0x01 in wait () from /lib/libc.so.6\n#1  0x02 in ?? ()\n#2  0x03 in mine () at m.c:3"
    )
    text = f"Thread 1 (LWP 7):\n{calls}\n#3  0x04 in ?? ()\n"
    (tmp_path / "stacks" / "1-gdb.txt").write_text(text)
    told_of = failure.failure(Run(fakes.hung(), tmp_path, Path("report.md")))
    assert "libc.so.6 in wait" in told_of
    assert "m.c:3 in mine" in told_of
    assert "???" not in told_of
