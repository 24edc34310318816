"""Which tool's answer is taken, with tools that print what real ones did."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.stacks import tools as stacktools
from harness.stacks.capture import capture
from harness.stacks.parse import Frame, Owner, Share, ThreadStack
from harness.stacks.tools import Attempt, Tool

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


@pytest.mark.parametrize(
    ("leaf", "root", "told"),
    [
        ("__psynch_mutexwait", True, True),
        ("__ulock_wait2", True, True),
        ("__psynch_cvwait", True, False),
        ("__psynch_mutexwait", False, False),
    ],
)
def test_root_alone_is_told_owners_where_there_may_be_one(monkeypatch, tmp_path, leaf, root, told):
    asked = []

    def attempt(tool, pid, file, timeout, spare=False, stop=None):
        asked.append(tool.name)
        owner = Owner(pid=pid, tid=5) if tool.name == "spindump" else None
        frame = Frame(function=leaf, system=True)
        share = Share(frames=(frame,), looks=9, running=False)
        thread = ThreadStack(frames=(frame,), tid=5, main=True, shares=(share,), owner=owner)
        return Attempt(tool=tool.name, ok=True, seconds=0.1, file=file.name), (thread,)

    monkeypatch.setattr(stacktools, "attempt", attempt)
    monkeypatch.setattr(stacktools, "tells_owners", lambda: root)
    sample = [tool for tool in stacktools.TOOLS if tool.name == "sample"]
    seen = capture(7, tmp_path, sample)
    assert asked == ["sample", *["spindump"] * told]
    assert (seen.threads[0].owner is not None) is told
    assert seen.tool == "sample"
