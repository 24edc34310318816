"""What cannot be killed does not hold the harness: dead file systems, frozen control groups."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import psutil
import pytest
from trial import until
from waiting import ROOT, settled, started

from harness.model import Process
from harness.observe import platform
from harness.supervise import not_ended
from harness.supervise.guarding.main import ORPHAN_GRACE
from harness.supervise.guarding.tree import STUCK_S
from harness.supervise.launch import Launched

LATE_S = 60.0
"""What a loaded machine may take beyond what is promised."""
FREEZER = Path("/sys/fs/cgroup/freezer")

pytestmark = [
    pytest.mark.waits,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in D, by /proc"),
    pytest.mark.skipif(
        hasattr(os, "geteuid") and os.geteuid() != 0,
        reason="mounts a file system, which takes root's rights",
    ),
]

READS = (
    "import sys\n"
    "for i in range(4): print(f'step {{i}} loss {{2 - i / 10}}', flush=True)\n"
    "open({file!r}, 'rb').read()\n"
)


@pytest.fixture
def dead(tmp_path, silent_alone):
    """A mounted file system whose file `data` never answers a read."""
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    program = ROOT / "tests" / "victims" / "silent_fuse.py"
    with started(sys.executable, str(program), str(mounted)) as (server, _):
        yield mounted, server.pid
    # Its end lets go of all that waited for it.
    subprocess.run(["umount", "-l", str(mounted)], check=True)


def gone(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def finding(folder):
    (run,) = folder.glob("*/run.json")
    (result,) = json.loads(run.read_text())["results"]
    (found,) = [one for one in result["findings"] if one["code"] == "not_ended"]
    return result, found, found["evidence"]["processes"]


def harness(*words, cwd):
    return forked.harness(*words, folder=cwd, environment=os.environ | {"PYTHONPATH": str(ROOT)})


def left(launched, file):
    """End it; the CPU time that its guard needs for that, and how long it takes."""
    watched = psutil.Process(launched.guard_pid)
    began, used = time.monotonic(), 0.0
    launched.reap(0.2)
    while not launched.quiet and time.monotonic() - began < LATE_S:
        with contextlib.suppress(psutil.Error):
            used = sum(watched.cpu_times()[:2])
        time.sleep(0.05)
        launched.listen()
    launched.close(keep_kernels=False)
    return used, time.monotonic() - began


def test_a_guard_leaves_what_a_dead_file_system_holds(tmp_path, dead):
    mounted, server = dead
    launched = Launched([sys.executable, "-c", READS.format(file=str(mounted / "data"))], tmp_path)
    assert until(lambda: launched.listen() or launched.pid)
    settled(launched.pid, "read", wchan="request_wait_answer")
    used, took = left(launched, mounted)
    assert launched.quiet
    assert launched.not_ended == (launched.pid,)
    assert launched.status is None
    assert took < 0.2 + STUCK_S + LATE_S / 2
    assert used < 2.0, "the guard spins"
    assert gone(launched.guard_pid)
    assert not gone(launched.pid)
    assert "step 3" in (tmp_path / "stdout.log").read_text()
    (found,) = not_ended.find(launched.not_ended)
    (held,) = found.evidence["processes"]
    assert held["state"] == "D"
    assert (held["mount"], held["fs"]) == (str(mounted), "fuse.silent")
    assert tuple(held["served_by"]) == (server,)
    minor = os.minor(os.lstat(mounted).st_dev)
    assert tuple(held["remedies"]) == (
        f"umount -f {mounted}",
        f"echo 1 > /sys/fs/fuse/connections/{minor}/abort",
        f"kill {server}",
    )
    # What is named ends it.
    subprocess.run(["umount", "-f", str(mounted)], check=False, capture_output=True)
    assert until(lambda: gone(launched.pid))
    assert not_ended.find(launched.not_ended) == ()


def test_what_can_be_ended_beside_it_is_ended(tmp_path, dead):
    mounted, _ = dead
    code = (
        "import os, subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    ) + READS.format(file=str(mounted / "data"))
    launched = Launched([sys.executable, "-c", code], tmp_path)
    assert until(lambda: launched.listen() or launched.pid)
    settled(launched.pid, "read", wchan="request_wait_answer")
    (child,) = psutil.Process(launched.pid).children()
    left(launched, mounted)
    assert launched.not_ended == (launched.pid,)
    assert gone(child.pid)


def test_a_guard_whose_supervisor_is_killed_ends_too(tmp_path, dead):
    mounted, _ = dead
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from harness.supervise.launch import Launched\n"
        "launched = Launched([sys.executable, '-c', sys.argv[1]], Path(sys.argv[2]))\n"
        "while launched.pid is None: launched.listen(); time.sleep(0.01)\n"
        "print('ready', launched.pid, flush=True)\n"
        "print(launched.guard_pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    reads = READS.format(file=str(mounted / "data"))
    with started(sys.executable, "-c", code, reads, str(tmp_path), cwd=ROOT) as (process, pid):
        watching = int(process.stdout.readline())
        settled(pid, "read", wchan="request_wait_answer")
        os.kill(process.pid, signal.SIGKILL)
        assert until(lambda: gone(watching), ORPHAN_GRACE + STUCK_S + LATE_S)
        assert not gone(pid)


def test_watch_ends_within_its_budget_and_names_what_is_left(tmp_path, dead):
    mounted, server = dead
    reads = READS.format(file=str(mounted / "data"))
    began = time.monotonic()
    done = harness(
        "watch", "--budget", "6", "--out", str(tmp_path / "out"), "--", sys.executable, "-c", reads,
        cwd=tmp_path,
    )  # fmt: skip
    took = time.monotonic() - began
    assert done.returncode == 1, done.stderr
    assert took < 6 + 15 + LATE_S / 2
    result, found, (held,) = finding(tmp_path / "out")
    assert result["outcome"] in ("hung", "unfinished")
    assert found["severity"] == "warning"
    assert held["served_by"] == [server]
    assert "not_ended" in done.stderr
    assert f"umount -f {mounted}" in " ".join(done.stderr.split())
    assert (next((tmp_path / "out").glob("*-*")) / "report.md").exists()


def test_a_scenario_ends_within_its_budget_too(tmp_path, dead):
    mounted, server = dead
    (tmp_path / "reads.py").write_text(
        '"""Reads what never comes."""\n\n\n'
        "def make_step(training):\n"
        "    def step(inputs, targets):\n"
        f"        open({str(mounted / 'data')!r}, 'rb').read()\n\n"
        "    return step\n"
    )
    done = harness(
        "run", "reads.py", "--budget", "15", "--steps", "3", "--out", "out", cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    _, _, (held,) = finding(tmp_path / "out")
    assert held["served_by"] == [server]


def test_what_is_kept_costs_nothing(tmp_path, dead):
    mounted, _ = dead
    reads = READS.format(file=str(mounted / "data"))
    done = harness(
        "watch", "--on-hang", "keep", "--patience", "0", "--budget", "60", "--out", "out", "--",
        sys.executable, "-c", reads, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (run,) = (tmp_path / "out").glob("*/run.json")
    (result,) = json.loads(run.read_text())["results"]
    pid = result["cause"]["evidence"]["kept_pid"]
    watching = psutil.Process(pid).parent()
    try:
        before = sum(watching.cpu_times()[:2])
        time.sleep(2)
        assert sum(watching.cpu_times()[:2]) - before < 0.3
    finally:
        os.kill(pid, signal.SIGKILL)
    subprocess.run(["umount", "-f", str(mounted)], check=False, capture_output=True)
    assert until(lambda: gone(pid))
    assert until(lambda: gone(watching.pid))


@pytest.mark.parametrize("killed", [False, True], ids=["waits", "was killed"])
def test_attach_looks_without_being_held(tmp_path, dead, killed):
    mounted, server = dead
    code = "import os\nprint('ready', os.getpid(), flush=True)\nopen({!r}, 'rb').read()".format(
        str(mounted / "data")
    )
    with started(sys.executable, "-c", code, cwd=str(tmp_path)) as (_, pid):
        settled(pid, "read", wchan="request_wait_answer")
        if killed:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        done = harness("attach", str(pid), "--out", "out", cwd=tmp_path)
        assert time.monotonic() - began < 10 + LATE_S / 2
        assert done.returncode == 1, done.stderr
        assert str(mounted) in done.stderr
        assert f"process {server}" in done.stderr
        # Nobody has stopped it: that would have turned its wait into one in D.
        (process,) = platform.current().processes([pid])
        assert state_of(process) == ("D" if killed else "S")
        subprocess.run(["umount", "-f", str(mounted)], check=False, capture_output=True)


def state_of(process: Process) -> str:
    return process.threads[0].state


def test_a_frozen_group_of_the_first_version(tmp_path):
    group = FREEZER / f"harness-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("there is no freezer of the first version")
    launched = Launched([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path)
    try:
        assert until(lambda: launched.listen() or launched.pid)
        (group / "cgroup.procs").write_text(str(launched.pid))
        (group / "freezer.state").write_text("FROZEN")
        assert until(lambda: (group / "freezer.state").read_text().strip() == "FROZEN")
        used, _ = left(launched, None)
        assert launched.not_ended == (launched.pid,)
        assert used < 2.0, "the guard spins"
        (found,) = not_ended.find(launched.not_ended)
        assert tuple(found.evidence["processes"][0]["remedies"]) == (f"thaw {group}",)
    finally:
        (group / "freezer.state").write_text("THAWED")
        assert until(lambda: gone(launched.pid))
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def command_line(process):
    with contextlib.suppress(psutil.Error):  # a stack tool, for one, may have ended
        return process.cmdline()
    return []


def test_attach_by_name_means_the_command_that_is_watched(tmp_path):
    (tmp_path / "train_named.py").write_text(
        "import time\nprint('step 1', flush=True)\ntime.sleep(600)\n"
    )
    watched = subprocess.Popen(
        [sys.executable, "-m", "harness", "watch", "--out", "w", "--", sys.executable,
         "train_named.py", "--lr", "7e-5"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with watched:
        try:
            assert b"step 1" in watched.stdout.readline()
            done = harness(
                "attach", "--name", "train_named.py --lr 7e-5", "--out", "a", cwd=tmp_path
            )
            (run,) = (tmp_path / "a").glob("*/run.json")
            (scenario,) = json.loads(run.read_text())["scenarios"]
            (trainer,) = [
                one.pid
                for one in psutil.Process(watched.pid).children(recursive=True)
                if command_line(one)[1:2] == ["train_named.py"]
            ]
            assert str(trainer) in done.stderr, done.stderr
            assert "watch" not in scenario["command"]["argv"]
        finally:
            watched.terminate()
