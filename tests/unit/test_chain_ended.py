"""Ended children of the processes on a chain: how they ended, and whether for want of memory."""

from __future__ import annotations

import signal

import pytest
from observations import READS, process, seen, sleeps, thread

from harness.detect.tree import judge
from harness.model.world import Ended, Link, More

PIPE = Link(kind="pipe", told="a pipe", only_own=True)
KILLED, EXITED = int(signal.SIGKILL), 3 << 8


def ended(pid=7, ppid=1):
    return process(pid, thread(pid, state="Z", syscall=None), ppid=ppid, state="Z")


def judged(*children, status=KILLED, kills=None, group=None, wait=READS, **fields):
    """The answer for a main thread that reads a pipe of its own, and whose child has ended."""
    tree = (process(1, thread(1, **wait)), *(children or (ended(),)))
    more = {7: More(started=7, status=status, oom_kills=group)}
    fields = {"links": {1: (PIPE,)}, **fields}
    return judge(1, seen(*tree, more=more, oom_kills=kills, **fields))


@pytest.mark.parametrize(
    ("status", "words", "told"),
    [
        (KILLED, "was killed by SIGKILL", {"signal": "SIGKILL"}),
        (int(signal.SIGSEGV) | 0x80, "was killed by SIGSEGV", {"signal": "SIGSEGV"}),
        (EXITED, "exited with code 3", {"exit_code": 3}),
        (0, "exited with code 0", {"exit_code": 0}),
    ],
)
def test_a_dead_child_is_named_with_its_end(status, words, told):
    one = judged(status=status)
    assert f"process 7 (python train.py ...), its child, {words}" in one.summary
    (child,) = one.evidence["ended_children"]
    assert {"pid": 7, "ppid": 1, **told}.items() <= child.items()


@pytest.mark.parametrize(
    ("kills", "group", "killer"),
    [
        (None, None, None),
        (0, None, False),
        (None, 0, False),
        (3, 0, False),
        (0, 3, False),
        (1, None, True),
        (None, 1, True),
        (1, 1, True),
    ],
)
def test_the_counts_say_whether_the_kernel_did_it_for_want_of_memory(kills, group, killer):
    one = judged(kills=kills, group=group)
    (child,) = one.evidence["ended_children"]
    assert child["oom_killer"] is killer
    by = "probably by the kernel's out-of-memory killer"
    assert (by in one.summary) is (killer is True)
    assert ("not by the kernel's out-of-memory killer" in one.summary) is (killer is False)


def test_another_signal_is_never_the_out_of_memory_killers():
    one = judged(status=int(signal.SIGTERM), kills=5, group=5)
    assert one.evidence["ended_children"][0]["oom_killer"] is False
    assert "out-of-memory" not in one.summary


def test_an_end_that_nobody_may_know_is_not_told():
    assert "ended_children" not in judged(status=None).evidence


def test_a_chain_that_goes_on_tells_of_no_ended_child():
    one = judged(wait=sleeps(5.0), links={})
    assert "ended_children" not in one.evidence
    assert "child" not in one.summary


def test_the_child_of_a_process_that_is_not_on_the_chain_is_not_told():
    other = process(6, thread(6), ppid=1)
    assert "ended_children" not in judged(other, ended(ppid=6)).evidence


def test_those_that_ended_badly_come_first_and_no_more_than_two_are_named():
    children = [ended(pid) for pid in (7, 8, 9, 10)]
    tree = (process(1, thread(1, **READS)), *children)
    more = {
        child.pid: More(started=1, status=0 if child.pid == 7 else EXITED) for child in children
    }
    one = judge(1, seen(*tree, more=more, links={1: (PIPE,)}))
    assert [child["pid"] for child in one.evidence["ended_children"]] == [8, 9, 10, 7]
    assert one.summary.count("its child, exited with code 3") == 2
    assert "process 7 " not in one.summary
    assert one.summary.endswith("and 1 other ended child")


def test_a_child_that_its_parent_has_asked_for_is_told_as_well():
    gone = (
        Ended(pid=8, ppid=1, name="loader", status=KILLED, t=14.0),
        Ended(pid=9, ppid=6, name="other", status=KILLED, t=14.0),
    )
    tree = (process(1, thread(1, **READS)),)
    one = judge(1, seen(*tree, ended=gone, oom_kills=1, links={1: (PIPE,)}))
    (child,) = one.evidence["ended_children"]
    assert (child["pid"], child["signal"], child["oom_killer"]) == (8, "SIGKILL", True)
    assert "process 8 (loader), its child, was killed by SIGKILL, probably" in one.summary
