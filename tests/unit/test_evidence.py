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


def deepest(processes):
    return evidence._deepest(processes, [f"name {n}" for n in range(len(processes))])


def test_a_worker_that_waits_for_its_child_is_told_with_what_the_child_waits_for():
    found = deepest([CHILD, STREAM])
    assert found.pop("fingerprint") not in (CHILD["fingerprint"], STREAM["fingerprint"])
    assert found == {
        "stack_tool": "gdb",
        "wait_category": "child",
        "wait_site": "waits for a child process (wait4), from fork.py:12 in step; "
        "the child (name 1) waits for a stream (wait), from fork.py:9 in step",
    }


def test_two_waits_for_children_that_sleep_alike_are_two_hangs():
    sleeps = told("sleep", "sleeps (clock_nanosleep)")
    elsewhere = told("child", "waits for a child process (wait4), from other.py:3 in load")
    marks = {deepest([one, sleeps])["fingerprint"] for one in (CHILD, elsewhere, CHILD)}
    assert len(marks) == 2


def test_a_child_that_nobody_waits_for_or_could_read_adds_nothing():
    assert deepest([]) == {}
    assert deepest([STREAM, CHILD]) == STREAM
    assert deepest([CHILD, UNREAD, STREAM]) == CHILD
    assert deepest([UNREAD, STREAM]) == UNREAD


@given(st.lists(st.sampled_from([CHILD, STREAM, UNREAD]), min_size=1, max_size=5))
def test_category_and_site_begin_with_the_same_process(processes):
    found = deepest(processes)
    assert found.get("wait_category") == processes[0].get("wait_category")
    assert str(found.get("wait_site")).startswith(str(processes[0].get("wait_site")))
