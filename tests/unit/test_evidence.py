"""What the stacks of a worker and its children say together."""

from __future__ import annotations

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from harness.model import Process, Snapshot
from harness.observe import processes
from harness.stacks import capture
from harness.supervise import evidence


def test_where_stacks_lie_says_whose_they_are(tmp_path, monkeypatch):
    """The worker's in the folder itself; those of a job's ranks by rank, of others by process."""
    taken = {}

    def capture_twice(pid, folder, **options):
        taken[pid] = (folder.relative_to(tmp_path).as_posix(), options["may_signal"])
        return capture.StackEvidence(captures=(capture.StackCapture(attempts=()),))

    monkeypatch.setattr(capture, "capture_twice", capture_twice)
    processes = tuple(
        Process(pid=pid, ppid=1, name="python", state="S", cpu_s=0.0) for pid in (99, 100, 101)
    )
    seen = Snapshot(t=0.0, processes=processes)
    evidence.collect(tmp_path, seen, evidence.Last(), None)
    assert taken == {99: ("stacks", True), 100: ("stacks/100", False), 101: ("stacks/101", False)}
    taken.clear()
    evidence.collect(tmp_path, seen, evidence.Last(), None, ranks={100: 0, 101: 1})
    assert {pid: home for pid, (home, _) in taken.items()} == {
        99: "stacks", 100: "stacks/rank-0", 101: "stacks/rank-1"
    }  # fmt: skip
    taken.clear()
    evidence.collect(tmp_path, seen, evidence.Last(), None, 1, [101, 100], ranks={100: 0, 101: 1})
    assert taken == {101: ("stacks-2/rank-1", True), 100: ("stacks-2/rank-0", False)}


def test_one_look_says_where_a_process_is(tmp_path):
    child = subprocess.Popen(["sleep", "60"])
    try:
        seen = Snapshot(t=0.0, processes=processes.processes(child.pid))
        once = evidence.collect(tmp_path / "1", seen, evidence.Last(), None, once=True)
        twice = evidence.collect(tmp_path / "2", seen, evidence.Last(), None)
    finally:
        child.kill()
        child.wait()
    assert once.told.get("wait_site") == twice.told.get("wait_site")
    assert once.told["stacks_moved"] is None
    looks = [{file.name[0] for file in (tmp_path / n / "stacks").glob("*-*")} for n in "12"]
    if twice.told["stack_tool"] is not None:
        assert looks == [{"1"}, {"1", "2"}]


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
