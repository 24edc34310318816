"""What no signal ends: when it is left, and what is said of it."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from harness.model.world import Hold
from harness.observe import platform, threads
from harness.supervise import not_ended
from harness.supervise.guarding.tree import STUCK_S, Stuck


def test_what_stands_still_for_long_is_left():
    stuck = Stuck()
    assert stuck.look({1: "a", 2: "a"}, 10.0) == set()
    assert stuck.look({1: "a", 2: "b"}, 10.0 + STUCK_S - 0.1) == set()
    assert stuck.look({1: "a", 2: "b"}, 10.0 + STUCK_S) == {1}
    assert stuck.look({1: "a", 2: "b"}, 10.0 + 2 * STUCK_S) == {1, 2}


def test_what_was_in_no_such_wait_for_a_moment_begins_anew():
    stuck = Stuck()
    stuck.look({1: "a"}, 0.0)
    stuck.look({}, STUCK_S - 1)
    assert stuck.look({1: "a"}, STUCK_S) == set()
    assert stuck.look({1: "a"}, 2 * STUCK_S) == {1}


def test_it_is_said_what_holds_it_and_what_would_end_it(monkeypatch):
    held = Hold(
        pid=2**22 + 1,
        name="python",
        state="D",
        wait="waits for the file data",
        mount="/mnt",
        fs="fuse.sshfs",
        served_by=(2**22 + 2,),
        remedies=("umount -f /mnt", "kill 2"),
    )
    other = Hold(pid=2**22 + 3, name="sh", state="D", wait="is in a frozen control group")
    known = SimpleNamespace(holds=lambda pids: (held, other))
    monkeypatch.setattr(platform, "current", lambda: known)
    (found,) = not_ended.find([held.pid, other.pid])
    assert (found.code, found.severity.value) == ("not_ended", "warning")
    assert found.summary == (
        "SIGKILL did not end 2 processes: process 4194305 (python) is in state D and waits for the "
        "file data on /mnt (fuse.sshfs), which process 4194306 serves. To end it: `umount -f /mnt` "
        "or `kill 2`; process 4194307 (sh) is in state D and is in a frozen control group"
    )
    assert [one["pid"] for one in found.evidence["processes"]] == [held.pid, other.pid]
    assert found.evidence["processes"][0]["mount"] == "/mnt"


def test_of_those_that_have_ended_by_now_nothing_is_said(monkeypatch):
    monkeypatch.setattr(platform, "current", lambda: SimpleNamespace(holds=lambda pids: ()))
    assert not_ended.find([1]) == not_ended.find([]) == ()


def test_a_look_that_is_held_itself_is_not_waited_for(monkeypatch):
    over = threading.Event()
    known = SimpleNamespace(holds=lambda pids: over.wait(60) and ())
    monkeypatch.setattr(platform, "current", lambda: known)
    monkeypatch.setattr(not_ended, "_LOOK_S", 0.1)
    try:
        (found,) = not_ended.find([7])
    finally:
        over.set()
    assert found.summary == "SIGKILL did not end 1 process: process 7 does not end"


def test_within_gives_the_answer_the_error_or_neither():
    assert threads.within(60.0, lambda: 7, 8) == 7
    with pytest.raises(OSError, match="gone"):
        threads.within(60.0, lambda: exec("raise OSError('gone')"), None)
    began = time.monotonic()
    assert threads.within(0.1, lambda: time.sleep(5), "late") == "late"
    assert time.monotonic() - began < 4
