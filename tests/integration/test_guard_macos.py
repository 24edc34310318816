"""The guard on the simulated Mac: no subreaper, no signal at a parent's death, and no /proc."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
from test_guard import DOUBLE_FORK, STARTS_CHILD, finished, gone, noted, until
from trial import ROOT

from harness.supervise import guard
from harness.supervise.launch import Launched

pytestmark = [
    pytest.mark.mac,
    pytest.mark.skipif(sys.platform != "linux", reason="the simulated Mac answers from /proc"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]

PROGRAM = ROOT / "tests" / "macos" / "supervise" / "guard.py"
AT_ONCE = DOUBLE_FORK.replace("os.wait()", "os._exit(0)")
"""It has ended before anybody can look at it: only its variable tells whose the rest is."""
SHAPES = {
    "new session": STARTS_CHILD,
    "double fork": DOUBLE_FORK,
}


@pytest.fixture
def mac(library, monkeypatch, tmp_path):
    """Guards that are started now ask the simulated Mac."""
    monkeypatch.setattr(guard, "__file__", str(PROGRAM))
    monkeypatch.setenv("DARWIN_LIBRARY", str(library))

    def start(code: str) -> Launched:
        return Launched([sys.executable, "-c", code], tmp_path)

    return start


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_worker_leaves_behind_ends_with_it(mac, tmp_path, shape):
    note = tmp_path / "pid"
    options = {"start_new_session": True}
    launched = mac(SHAPES[shape].format(note=str(note), seconds=0.5, options=options))
    escaped = noted(note)
    finished(launched)
    assert launched.exit_code == 0
    assert launched.left_behind >= 1
    assert until(lambda: gone(escaped))


def test_what_nobody_has_seen_is_known_by_its_variable(mac, tmp_path):
    note = tmp_path / "pid"
    launched = mac(AT_ONCE.format(note=str(note), seconds=0))
    escaped = noted(note)
    finished(launched)
    assert until(lambda: gone(escaped))


def test_where_libproc_refuses_all_ps_shows_who_is_left(mac, tmp_path, monkeypatch):
    monkeypatch.setenv("DARWIN_REFUSES", "task")
    note = tmp_path / "pid"
    launched = mac(STARTS_CHILD.format(note=str(note), seconds=600, options={}))
    child = noted(note)
    launched.reap(0.2)
    finished(launched)
    assert launched.signal == "SIGTERM"
    assert until(lambda: gone(child))


def test_a_reap_takes_all_and_nobody_else(mac, tmp_path):
    note, stranger = tmp_path / "pid", subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        launched = mac(DOUBLE_FORK.format(note=str(note), seconds=600))
        escaped = noted(note)
        launched.reap(0.2)
        finished(launched)
        assert launched.signal == "SIGTERM"
        assert until(lambda: gone(escaped))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_guard_killed_takes_nothing_from_its_reach(mac, tmp_path):
    """macOS has no signal at a parent's death: the supervisor ends the worker."""
    note = tmp_path / "pid"
    options = {"start_new_session": True, "env": {}}
    launched = mac(STARTS_CHILD.format(note=str(note), seconds=600, options=options))
    child = noted(note)
    launched.listen()
    worker = launched.pid
    os.kill(launched.guard_pid, signal.SIGKILL)
    finished(launched)
    assert until(lambda: gone(worker) and gone(child))


SUPERVISOR = """
import os, sys, time
from pathlib import Path
from harness.supervise import guard
from harness.supervise.launch import Launched
guard.__file__ = sys.argv[1]
launched = Launched([sys.executable, "-c", sys.argv[3]], Path(sys.argv[2]))
if os.fork() == 0:
    print("holds", os.getpid(), flush=True)  # our end of the socket
    time.sleep(600)
while launched.pid is None: launched.listen()
if sys.argv[4:]: launched.keep()
print("started", launched.pid, launched.guard_pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("kept", [False, True], ids=["ended", "kept"])
def test_the_supervisor_killed_takes_everything_but_what_is_kept(library, tmp_path, kept):
    """Somebody has the supervisor's end of the socket open: only its death tells of it."""
    note = tmp_path / "pid"
    code = STARTS_CHILD.format(note=str(note), seconds=600, options={"start_new_session": True})
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, PROGRAM, tmp_path, code, *["keep"] * kept],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DARWIN_LIBRARY": str(library)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with supervisor:
        lines = dict(
            line.split(" ", 1) for line in (supervisor.stdout.readline() for _ in range(2))
        )
        holder = int(lines["holds"])
        tree = [noted(note), *map(int, lines["started"].split())]
        try:
            os.kill(supervisor.pid, signal.SIGKILL)
            supervisor.wait()
            if kept:
                *_, worker, watching = tree
                assert not gone(watching)
                os.kill(worker, signal.SIGKILL)
            assert until(lambda: all(map(gone, tree)))
            assert not gone(holder)
        finally:
            psutil.Process(holder).kill()
