"""What can go wrong around a worker: in the supervisor, the guard, the terminal, the machine.

As in test_faults.py, every run must leave no process and lose no beat.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest
from trial import STEP, until

pytestmark = pytest.mark.waits

linux = pytest.mark.skipif(sys.platform != "linux", reason="as only Linux does it")
STOPPED_S = 12.0
"""Longer than a worker that stands still goes unnoticed."""

TAKES_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
WITHOUT_PRIVILEGE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 19, 0, 0, 0)  # CAP_SYS_PTRACE out of the bounding set
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_worker_killed_from_outside(trial):
    trial.start("waits_for_a_signal")
    trial.worker().kill()
    result = trial.finish()
    assert result["outcome"] == "crashed"
    assert "killed by SIGKILL in step 3" in result["reason"]


@pytest.mark.parametrize(
    "who",
    ["worker", *(pytest.param(one, marks=pytest.mark.slow) for one in ("supervisor", "guard"))],
)
def test_stopped_and_continued_is_not_hung(trial, who):
    harness = trial.start("waits_for_a_signal")
    worker = trial.worker()
    pids = {"worker": worker.pid, "guard": worker.ppid(), "supervisor": harness.pid}
    os.kill(pids[who], signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.kill(pids[who], signal.SIGCONT)
    trial.go.touch()
    result = trial.finish()
    assert result["outcome"] == "completed"
    assert result["steps_completed"] == 10


@linux
def test_the_guard_killed_takes_everything_with_it(trial):
    trial.start("child_of_its_own_session")
    trial.worker().parent().kill()
    result = trial.finish()
    assert result["outcome"] == "crashed"
    assert "guard" in result["reason"]
    assert result["last_step"] == STEP


@linux
def test_a_guard_that_is_stopped_still_reaps(trial):
    trial.start("child_of_its_own_session", "--budget", 15)
    trial.worker().parent().suspend()
    result = trial.finish()
    assert result["outcome"] == "unfinished"


@linux
@pytest.mark.parametrize("fault", ["child_of_its_own_session", "waits_deaf_to_term"])
def test_the_supervisor_killed_leaves_a_run_to_report(trial, fault):
    harness = trial.start(fault)
    trial.worker()
    harness.kill()
    trial.nothing_is_left()
    done = forked.harness(
        "report", trial.run_folder, "--json", folder=trial.folder, environment=trial.environment
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (result,) = document["results"]
    assert document["interrupted"] is True
    assert (result["outcome"], result["last_step"]) == ("unfinished", STEP)
    trial.nothing_is_lost(result)


@linux
def test_the_terminal_goes_away(trial):
    """The harness leads the terminal's session: it gets HUP, and can print nothing any more."""
    primary, terminal = pty.openpty()
    trial.start(
        "child_of_its_own_session",
        through=[sys.executable, "-c", TAKES_ITS_TERMINAL],
        **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
        start_new_session=True,
    )
    os.close(terminal)
    trial.worker()
    os.close(primary)
    trial.harness.wait()
    trial.nothing_is_left()
    document = json.loads((trial.run_folder / "run.json").read_text())
    (result,) = document["results"]
    assert document["interrupted"] is True
    assert (result["outcome"], result["last_step"]) == ("unfinished", STEP)
    trial.nothing_is_lost(result)


def test_a_second_interrupt_is_honored_at_once(trial):
    """The first grants an hour here, and the worker would use it."""
    trial.with_module(
        "sitecustomize", "from harness.supervise import scheduler; scheduler.GRACE_S = 3600.0\n"
    )
    harness = trial.start("waits_deaf_to_term")
    worker = trial.worker()
    harness.send_signal(signal.SIGINT)
    # The worker writes down that it was told to end, and does not.
    assert until(lambda: trial.ready.read_text() == "TERM")
    assert worker.is_running()
    harness.send_signal(signal.SIGINT)
    harness.communicate()
    assert harness.returncode == 130
    trial.nothing_is_left()


@pytest.fixture
def endless_tool(trial):
    """Of a trial, a stack tool that never answers and has all the time in the world.

    Its file is there once it runs.
    """
    trial.with_module(
        "sitecustomize",
        "import os\n"
        "from harness.stacks import capture\n"
        "from harness.supervise import scheduler\n"
        "capture.capture_twice.__kwdefaults__['timeout'] = 3600.0\n"
        "scheduler.GRACE_S = float(os.environ.get('GRACE', scheduler.GRACE_S))\n",
    )
    trial.with_module(
        "pystack",
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(os.path.join(os.environ['TRIAL'], 'tool'), 'w').close()\n"
        "time.sleep(3600)\n",
    )
    return trial.folder / "tool"


@linux
@pytest.mark.parametrize(
    ("fault", "signals"),
    [
        ("hangs_deaf_to_term", ["SIGINT", "SIGINT"]),
        ("hangs", ["SIGINT"]),
        ("hangs", ["SIGTERM"]),
        ("hangs", ["SIGHUP"]),
    ],
)
def test_no_stack_tool_is_waited_for_by_who_asks_to_stop(trial, endless_tool, fault, signals):
    """Neither for its own time nor, with two requests, for the worker's, an hour each."""
    trial.environment["GRACE"] = "3600"
    harness = trial.start(fault)
    assert until(endless_tool.exists)
    first, *more = (getattr(signal, name) for name in signals)
    harness.send_signal(first)
    for again in more:
        assert until(lambda: trial.ready.exists() and trial.ready.read_text() == "TERM")
        harness.send_signal(again)
    output, errors = harness.communicate()
    assert harness.returncode == 130
    assert errors.count("Traceback") == 0, errors
    trial.nothing_is_left()
    (result,) = json.loads(output)["results"]
    trial.nothing_is_lost(result)
    assert (trial.run_folder / "report.html").exists()
    if fault == "hangs_deaf_to_term":  # its handler could end its wait, and no doubt was said yet
        assert result["outcome"] == "unfinished"
        return
    assert result["outcome"] == "hung"
    assert result["cause"]["proven"]
    (attempt,) = result["cause"]["evidence"]["stack_attempts"]
    assert attempt.startswith("pystack: ended together with the run")


@linux
def test_a_command_that_is_interrupted_while_its_stacks_are_taken_was_hung(trial, endless_tool):
    code = "import threading; print('Iter 1: Train loss 2.5', flush=True); threading.Event().wait()"
    harness = trial.harness = subprocess.Popen(
        [sys.executable, "-m", "harness", "watch", "--json", "--out", trial.folder / "reports"]
        + ["--", sys.executable, "-c", code],
        env=trial.environment,
        cwd=trial.folder,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert until(endless_tool.exists)
    harness.send_signal(signal.SIGINT)
    output, _ = harness.communicate()
    assert harness.returncode == 1
    trial.nothing_is_left()
    (result,) = json.loads(output)["results"]
    assert (result["outcome"], result["cause"]["proven"]) == ("hung", True)
    assert result["reason"].endswith("; it was then killed by SIGINT")
    assert "hang_transient" not in [one["code"] for one in result["findings"]]


@linux
def test_a_harness_that_is_the_first_process_of_its_container(trial):
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    made = subprocess.run([*alone, "true"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot make a name space of processes: {made.stderr.strip()}")
    trial.start("hangs_with_an_escapee", through=alone)
    result = trial.finish()
    assert result["outcome"] == "hung"
    first, *_ = result["cause"]["evidence"]["stack_attempts"]
    assert ": ok" in first
    assert list((trial.home / "stacks").iterdir())


@linux
def test_a_name_space_whose_processes_cannot_be_seen_is_refused(trial):
    """With the /proc of another one a healthy run would be judged by a stranger's process."""
    alone = ["unshare", "--pid", "--fork"]
    made = subprocess.run([*alone, "true"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot make a name space of processes: {made.stderr.strip()}")
    harness = trial.start("nothing", through=alone)
    _, errors = harness.communicate()
    assert harness.returncode == 2
    assert "--mount-proc" in errors
    assert "Traceback" not in errors
    assert not (trial.folder / "reports").exists()
    trial.nothing_is_left()
    attach = [*alone, sys.executable, "-m", "harness", "attach", "1"]
    done = subprocess.run(attach, capture_output=True, text=True, env=trial.environment)
    assert (done.returncode, "--mount-proc" in done.stderr) == (2, True)


def test_the_whole_run_deleted_under_its_feet(trial):
    harness = trial.start("deletes_the_whole_run")
    _, errors = harness.communicate()
    assert harness.returncode == 3
    assert "cannot write to" in errors
    assert "Traceback" not in errors
    trial.nothing_is_left()


@pytest.fixture
def small_disk(trial):
    """The run's folders come to lie on a file system of 2 MiB."""
    disk = trial.folder / "reports"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    made = subprocess.run(mount, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount a small disk: {made.stderr.strip()}")
    yield
    subprocess.run(["umount", "-l", disk], check=True)


@linux
@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_full_for_a_while(trial):
    result = trial.run("fills_the_disk", "--steps", 400, completed=400)
    assert result["outcome"] == "completed"
    (finding,) = [f for f in result["findings"] if f["code"] == "beats_lost"]
    assert finding["evidence"]["lost"] > 0
    assert "No space left" in finding["summary"] or "full" in finding["summary"]


def test_a_huge_environment(trial):
    trial.environment |= {f"FILLER_{n}": "x" * 100_000 for n in range(8)}
    assert trial.run("changes_folder")["outcome"] == "completed"


def test_a_clock_that_is_set_back_all_the_time(trial):
    """`time.time` of every process goes backwards, by an hour at each look."""
    trial.with_module(
        "sitecustomize",
        "import itertools, time\n"
        "t, n = time.time(), itertools.count()\n"
        "time.time = lambda: t - 3600.0 * next(n)\n",
    )
    result = trial.run("changes_folder")
    assert result["outcome"] == "completed"
    assert result["metrics"]["step_s"]["first"] >= 0
    assert result["wall_s"] > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_progress_that_cannot_be_printed_costs_nothing(trial):
    with Path("/dev/full").open("w") as full:
        trial.start("changes_folder", stderr=full)
        result = trial.finish()
    assert result["outcome"] == "completed"


@linux
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import time; time.sleep(600)", "no answer in"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("print('these are no stacks')", "no stack in its answer"),
    ],
    ids=["hangs", "crashes", "babbles"],
)
def test_a_stack_tool_that_is_broken(trial, code, told):
    """The next one is asked, and the report says what became of the first."""
    trial.with_module("pystack", code)
    result = trial.run("hangs")
    assert result["outcome"] == "hung"
    first, *others = result["cause"]["evidence"]["stack_attempts"]
    assert first.startswith("pystack: ")
    assert "pystack: ok" not in first
    assert told in first
    assert any(": ok" in attempt for attempt in others)
    (file,) = {path.name.partition("-")[2] for path in (trial.home / "stacks").glob("1-*")}
    assert "pystack" not in file


@linux
def test_what_proc_does_not_show_is_not_guessed(trial):
    """The worker closes its entries in /proc, and the harness has no privilege to read them."""
    trial.start(
        "hangs_unreadable", "--patience", 5, through=[sys.executable, "-c", WITHOUT_PRIVILEGE]
    )
    result = trial.finish()
    assert (result["outcome"], result["last_step"]) == ("hung", STEP)
    assert result["cause"]["proven"] is False
