"""Nothing that was started outlives its guard, whatever ends the run. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from trial import until

from harness.supervise import launch
from harness.supervise.launch import Launched

pytestmark = pytest.mark.waits

STARTS_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **{options})
open({note!r}, "w").write(str(child.pid))
time.sleep({seconds})
"""
DOUBLE_FORK = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({note!r} + ".part", "w").write(str(os.getpid()))
        os.rename({note!r} + ".part", {note!r})
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep({seconds})
"""


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def start(tmp_path, code):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return Launched([sys.executable, "-c", code], tmp_path, temporary=temporary)


def finished(launched):
    def quiet():
        launched.listen()
        return launched.quiet

    assert until(quiet)
    launched.close(keep_kernels=False)


def noted(path):
    assert until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def test_exit_code_signal_and_output_are_those_of_the_worker(tmp_path):
    launched = start(
        tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    )
    finished(launched)
    assert (launched.exit_code, launched.signal) == (7, None)
    assert (tmp_path / "stdout.log").read_text() == "out\n"
    assert (tmp_path / "stderr.log").read_text() == "err\n"
    assert launched.rss_peak > 1 << 20
    assert not launched.temporary.exists()


def test_a_worker_killed_by_a_signal_has_its_name(tmp_path):
    launched = start(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    finished(launched)
    assert (launched.exit_code, launched.signal) == (None, "SIGSEGV")


def test_a_program_that_cannot_be_started(tmp_path):
    launched = Launched(["/no/such/program"], tmp_path)
    finished(launched)
    assert launched.exit_code == 127
    assert "/no/such/program" in (tmp_path / "stderr.log").read_text()


@pytest.mark.parametrize("code", [STARTS_CHILD, DOUBLE_FORK], ids=["new session", "double fork"])
@pytest.mark.skipif(sys.platform != "linux", reason="a subreaper is Linux's")
def test_what_a_worker_leaves_behind_ends_with_it(tmp_path, code):
    note = tmp_path / "pid"
    options = {"start_new_session": True}
    launched = start(tmp_path, code.format(note=str(note), seconds=0.5, options=options))
    escaped = noted(note)
    finished(launched)
    assert launched.exit_code == 0
    assert launched.left_behind >= 1
    assert gone(escaped)


@pytest.mark.parametrize("code", [STARTS_CHILD, DOUBLE_FORK], ids=["new session", "double fork"])
@pytest.mark.skipif(sys.platform != "linux", reason="a subreaper is Linux's")
def test_reap_takes_the_whole_tree(tmp_path, code):
    note = tmp_path / "pid"
    options = {"start_new_session": True}
    launched = start(tmp_path, code.format(note=str(note), seconds=600, options=options))
    escaped = noted(note)
    launched.reap(60.0)
    finished(launched)
    assert launched.signal == "SIGTERM"
    assert gone(escaped)


def test_term_ignored_and_stopped_are_killed(tmp_path):
    note = tmp_path / "ready"
    launched = start(
        tmp_path,
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
        "while True: time.sleep(600)\n",
    )
    noted(note)
    launched.reap(0.3)
    finished(launched)
    assert launched.signal == "SIGKILL"


def test_what_is_stopped_stands_still_before_anybody_can_continue_it(tmp_path, monkeypatch):
    """A process that forks as both signals come goes on, and its child stays stopped (Linux)."""
    monkeypatch.setattr(launch, "_STAND_STILL_S", 60.0)
    launched = Launched(["sh", "-c", "echo; while true; do (true); done"], tmp_path)
    written = tmp_path / "stdout.log"
    assert until(lambda: launched.listen() or (written.exists() and written.read_text()))
    for _ in range(20):
        launched.stop()
        family = [worker := psutil.Process(launched.pid), *worker.children()]
        states = {one.status() for one in family}
        os.killpg(launched.pid, signal.SIGCONT)
        assert states <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    launched.reap(0.0)
    finished(launched)


def test_sigterm_within_its_grace_may_clean_up(tmp_path):
    note, ready = tmp_path / "note", tmp_path / "ready"
    launched = start(
        tmp_path,
        "import signal, sys, time\n"
        f"def end(*_): open({str(note)!r}, 'w').write('cleaned'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({str(ready)!r}, 'w').write('1')\n"
        "while True: time.sleep(600)\n",
    )
    noted(ready)
    launched.reap(60.0)
    finished(launched)
    assert note.read_text() == "cleaned"


SUPERVISOR = """
import sys, time
from pathlib import Path
from harness.supervise import launch
from harness.supervise.launch import Launched
launched = Launched([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]))
print("started", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a subreaper is Linux's")
def test_the_supervisor_killed_takes_everything_with_it(tmp_path):
    note = tmp_path / "pid"
    code = STARTS_CHILD.format(note=str(note), seconds=600, options={"start_new_session": True})
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), code],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with supervisor:
        supervisor.stdout.readline()
        grandchild = noted(note)
        tree = psutil.Process(supervisor.pid).children(recursive=True)
        assert grandchild in [process.pid for process in tree]
        os.kill(supervisor.pid, signal.SIGKILL)
    assert until(lambda: all(gone(process.pid) for process in tree))


def test_a_flood_of_output_is_bounded_and_never_blocks(tmp_path):
    line = "x" * 1023
    launched = start(
        tmp_path,
        "import sys\n"
        "sys.stdout.write('first\\n')\n"
        f"for _ in range(64): sys.stdout.write(({line!r} + '\\n') * 1024)\n"
        "sys.stdout.write('last\\n')\n",
    )
    finished(launched)
    assert launched.exit_code == 0
    log = (tmp_path / "stdout.log").read_bytes()
    assert log.startswith(b"first\n")
    assert log.endswith(b"last\n")
    assert b"bytes left out" in log
    assert len(log) < (2 << 20) + 100
    assert [path.name for path in tmp_path.glob("stdout*")] == ["stdout.log"]


@pytest.mark.skipif(sys.platform != "linux", reason="a main thread that ends alone")
def test_a_process_whose_main_thread_has_ended_is_reaped_too(tmp_path):
    note = tmp_path / "pid"
    code = (
        "import ctypes, os, platform, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        f"open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)"
    )
    launched = start(tmp_path, code)
    pid = noted(note)
    assert until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    launched.reap(0.0)
    finished(launched)
    assert gone(pid)
