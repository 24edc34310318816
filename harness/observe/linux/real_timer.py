"""The timers of a process that send it signals: /proc does not show when they ring."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Sequence

from harness.model.world import Timers
from harness.observe.linux import ask_timer

_ANSWER_S = 3.0
"""Seconds that the program may take. It asks nobody any more some time before."""


def timers(pids: Sequence[int]) -> dict[int, Timers]:
    """The timers of processes, by pid, as far as they can be found out."""
    if sys.platform != "linux" or platform.machine() not in ask_timer.MACHINES or not pids:
        return {}
    lines = [line.partition(" ") for line in _asked(pids).splitlines()]
    said = {int(pid): answer for pid, _, answer in lines if answer}
    if "PermissionError" in said.values():
        said |= _by_ancestor([pid for pid, one in said.items() if one == "PermissionError"])
    return {pid: found for pid, one in said.items() if (found := _timers(one)) is not None}


def _timers(answer: str) -> Timers | None:
    armed, _, rings = answer.partition(" ")
    if armed not in ("True", "False"):
        return None
    return Timers(armed=armed == "True", rings_s=float(rings) if rings else None)


def _asked(pids: Sequence[int]) -> str:
    """The lines that the program prints."""
    program = [sys.executable, "-I", "-S", ask_timer.__file__, *map(str, (os.getpid(), *pids))]
    null, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        asking = subprocess.Popen(
            program, stdin=null, stdout=pipe, stderr=null, start_new_session=True, cwd="/"
        )
        return asking.communicate(timeout=_ANSWER_S)[0].decode()
    except (OSError, subprocess.TimeoutExpired):
        return ""  # it ends by itself, once everything is as it was


def _by_ancestor(pids: Sequence[int]) -> dict[int, str]:
    """Ask ourselves: Yama lets ancestors trace, and the program is none.

    What descends from us is ended with us: nobody is left with registers that are not its own.
    """
    ours = os.getpid()
    said: dict[int, str] = {}
    below = [pid for pid in pids if ask_timer.descends(pid, ours)]
    thread = threading.Thread(target=lambda: said.update(ask_timer.answers(below, ours)))
    thread.start()
    thread.join()
    return said
