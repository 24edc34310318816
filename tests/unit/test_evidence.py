"""What the stacks of a worker and its children say together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.supervise import evidence


def told(category, site, tool="pystack"):
    return {
        "stack_tool": tool,
        "wait_site": site,
        "wait_category": category,
        "fingerprint": f"mark of {site}",
    }


CHILD = told("child", "waits for a child process (wait4), from fork.py:12 in step")
STREAM = told("stream_evaluation", "waits for a stream (wait), from fork.py:9 in step", "gdb")
UNREAD = {"stack_tool": "none", "stack_attempts": ["pystack: failed (0.1 s)"]}


def test_a_worker_that_waits_for_its_child_is_told_with_what_the_child_waits_for():
    assert evidence._deepest([CHILD, STREAM]) == {
        "stack_tool": "gdb",
        "wait_category": "child",
        "wait_site": "waits for a child process (wait4), from fork.py:12 in step; "
        "the child waits for a stream (wait), from fork.py:9 in step",
        "fingerprint": STREAM["fingerprint"],
    }


def test_a_child_that_nobody_waits_for_or_could_read_adds_nothing():
    assert evidence._deepest([]) == {}
    assert evidence._deepest([STREAM, CHILD]) == STREAM
    assert evidence._deepest([CHILD, UNREAD, STREAM]) == CHILD
    assert evidence._deepest([UNREAD, STREAM]) == UNREAD


@given(st.lists(st.sampled_from([CHILD, STREAM, UNREAD]), min_size=1, max_size=5))
def test_category_and_site_begin_with_the_same_process(processes):
    found = evidence._deepest(processes)
    assert found.get("wait_category") == processes[0].get("wait_category")
    assert str(found.get("wait_site")).startswith(str(processes[0].get("wait_site")))
