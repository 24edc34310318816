"""One of three ranks kills what has started them: how they end then, nobody tells."""

import os

import psutil
from _event import in_rank

SETTINGS = {"ranks": 3}
VERDICT = {
    "outcome": "crashed",
    "cause": "the launcher was killed by SIGKILL",
    "findings": "launcher_died",
}
LAUNCHERS = ("mlx.launch", "mpirun")


def kill_launcher():
    """The uppermost one in the session that the harness has made for this job."""
    session = os.getsid(0)
    above = [process for process in psutil.Process().parents() if os.getsid(process.pid) == session]
    *_, launcher = (
        process
        for process in above
        if any(name in word for word in process.cmdline() for name in LAUNCHERS)
    )
    launcher.kill()


def make_step(training):
    return in_rank(training, kill_launcher, number=5)
