"""Which tool's answer is taken, with tools that print what real ones did."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.stacks.capture import capture
from harness.stacks.tools import Tool

SAMPLES = Path(__file__).parent / "stack_samples"
UNMERGED = 26734
"""The process that unmerged-pystack.txt is about."""
IDLE = f"""Process {UNMERGED}: python train.py
Python v3.14.10 (/usr/bin/python3.14)

Thread {UNMERGED} (idle): "MainThread"
    lock_both (two_locks.py:22)
"""


@pytest.fixture
def tools(tmp_path):
    """pystack that cannot see native frames, and py-spy; neither looks at a process."""
    (tmp_path / "idle.txt").write_text(IDLE)
    return (
        Tool(name="pystack", parser="pystack",
             command=("cat", str(SAMPLES / "unmerged-pystack.txt"))),
        Tool(name="py-spy", parser="py-spy", stops=False,
             command=("cat", str(tmp_path / "idle.txt"))),
    )  # fmt: skip


def test_a_tool_that_cannot_tell_what_the_main_thread_does_is_followed_by_the_next(tools, tmp_path):
    taken = capture(UNMERGED, tmp_path, tools)
    assert taken.tool == "py-spy"
    assert [(one.ok, one.reason) for one in taken.attempts] == [
        (False, "no native frames"),
        (True, ""),
    ]
    assert [file.name for file in tmp_path.glob("1-*")] == ["1-py-spy.txt"]
    (main,) = taken.threads
    assert main.running is False


def test_where_no_other_answers_its_answer_is_taken(tools, tmp_path):
    broken = Tool(name="py-spy", parser="py-spy", command=("false",), stops=False)
    for others in ((), (broken,)):
        taken = capture(UNMERGED, tmp_path, (tools[0], *others))
        assert taken.tool == "pystack"
        assert len(taken.attempts) == 1 + len(others)
        assert len(taken.threads) == 3
        assert (tmp_path / "1-pystack.txt").exists()
