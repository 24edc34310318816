"""Captures of the stacks of a tree that runs elsewhere."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from harness import syscalls
from harness.detect.observation import Observation
from harness.model import Process
from harness.observe import threads
from harness.supervise.gather import StackTaker

ASK_S = 1.0
"""The longest time to wait until a file of the process says what it is, in seconds."""


class Captures:
    """Takes the stacks of the processes of one tree, those of ranks by rank."""

    def __init__(self, folder: Path, root: int, may_signal: bool) -> None:
        self._folder = folder
        self._root = root
        self._may_signal = may_signal
        self._places: dict[int, Path] = {}
        """The folder for the stacks of each process. It stays when the process proves to be a
        rank."""
        # A Ctrl-C sets the event: the tools are ended, which sets free what they look at.
        self.stacks = StackTaker(threading.Event(), self._places.__getitem__)

    def take(self, pids: Sequence[int], label: str, seen: Observation) -> None:
        """Take one capture of each of `pids`."""
        for pid in pids:
            self._place(pid, seen)
        self.stacks.take(
            pids,
            label,
            signaled=lambda pid: _faulthandler(pid) if self._may_signal else None,
            spare=lambda pid: transfers(seen, pid),
            asks_by=signal.SIGUSR1,
        )

    def _place(self, pid: int, seen: Observation) -> None:
        if pid not in self._places:
            rank = next((rank for rank, one in seen.ranks.items() if one == pid), None)
            name = str(pid) if rank is None else f"rank-{rank}"
            self._places[pid] = self._folder if pid == self._root else self._folder / name


def transfers(seen: Observation, pid: int) -> bool:
    """True if a thread of it was seen in a transfer: the next one may begin at any moment."""
    return any(
        thread.state == "S"
        and thread.syscall is not None
        and syscalls.transfer(thread.syscall, thread.args, seen.arch)
        for window in seen.windows
        for look in window
        for process in look.processes
        if process.pid == pid
        for thread in process.threads
    )


def in_a_lock(process: Process, arch: str) -> bool:
    """True if a thread of it waits in a futex."""
    calls = (one.syscall for one in process.threads if one.syscall is not None)
    return any((syscalls.name(call, arch) or "").startswith("futex") for call in calls)


def _faulthandler(pid: int) -> Path | None:
    """The likely target of its faulthandler: a file that is called so, or its stderr."""
    folder = Path(f"/proc/{pid}/fd")
    opened = []
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            with contextlib.suppress(OSError):
                opened.append((file.name, file.readlink()))
    for wanted in (
        [path for _, path in opened if "faulthandler" in path.name],
        [path for name, path in opened if name == "2"],
    ):
        for path in wanted:
            # It may lie in a file system that does not answer.
            if threads.within(ASK_S, path.is_file, False):
                return path
    return None
