"""The guard: nothing that was started outlives it.

It starts the worker, tells the supervisor how it ended, and kills the whole family: when told to,
when the worker has ended but left something behind, and when the supervisor is gone, by whatever
signal.

Lines to the supervisor: `started PID`; `exited STATUS PEAK CPU ROOM TIME FILE`, as of os.wait4, the
peak RSS, the seconds of CPU time, and the limits (-1 without one) of the address space, of that
time and of a file; `child PID STATUS`, of one that the worker left unasked for, and that had ended
badly; `stuck PID`, of a process that SIGKILL has not ended; `quiet LEFT`, the number of processes
that a worker left behind. Lines from it: `reap GRACE`, the seconds between TERM and KILL; `keep`:
the worker may live on without a supervisor.

A thread in a disk wait (D) takes no SIGKILL before what it waits for comes, which a dead file
system never sends, nor does a frozen control group of the first version. It is left after a while.
"""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import socket
import sys
import time

from harness.supervise.guarding import spawn
from harness.supervise.guarding.tree import Stuck

TYPE_CHECKING = False  # known to type checkers by its name; importing typing would take longer
if TYPE_CHECKING:
    from harness.supervise.guarding.tree import Family

ORPHAN_GRACE = 2.0
"""Seconds the tree gets to end by itself when the supervisor is gone."""
LINGER_S = 1.0
"""The time in which a worker's remains may end by themselves, as Python's resource tracker does
once it has cleaned up."""
_SOON_S, _LATER_S = 0.002, 0.1
"""Between two looks at what is killed: first, and at most."""
# The soft limits; but the kernel itself raises that of CPU time.
_LIMITS = (resource.RLIMIT_AS, 0), (resource.RLIMIT_CPU, 1), (resource.RLIMIT_FSIZE, 0)


class Guard:
    def __init__(
        self, channel: socket.socket, family: Family, command: list[str], core: int
    ) -> None:
        self._channel, self._family = channel, family
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.alone = False
        """True if the supervisor has gone, or has no more use for us."""
        self._kept = False
        self._reap_at: float | None = None
        self._left = 0
        self._lingers_until = 0.0
        self._childless = False
        """True if the kernel has said so: that none is left is certain."""
        self._beyond: set[int] = set()
        """The processes that are left, and may not be signaled by us, or do not end by that."""
        self._stuck = Stuck()
        self._pause = _SOON_S
        self._before: list[int] = []
        self._worker = spawn.spawn(command, family, core)
        self._status: int | None = None
        # The worker has its own copies now; ours would keep the pipes open after it.
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        family.adopt(self._worker)
        self._tell(f"started {self._worker}")

    def _tell(self, line: str) -> None:
        try:
            self._channel.sendall(line.encode() + b"\n")
        except OSError:
            self._orphaned()

    def _orphaned(self) -> None:
        """The supervisor has gone, whether it was reading or we were writing."""
        self.alone = True
        if not self._kept:
            self._reap(ORPHAN_GRACE)

    def run(self) -> None:
        """Until the worker and everything below it are gone."""
        while True:
            self._collect()
            left = self._look() if self._ending() else []
            if left is None:
                self._tell(f"quiet {self._left}")
                return
            if self._status is not None and time.monotonic() >= self._lingers_until:
                self._end_what_is_left()
            if left and self._reap_at is not None and time.monotonic() >= self._reap_at:
                self._kill(left)
            else:
                self._wait(self._patience(left))

    def _kill(self, left: list[int]) -> None:
        """Send SIGKILL, and wait a little: longer and longer while the same are left."""
        self._beyond |= self._signal(left, signal.SIGKILL)
        marks = {pid: mark for pid in left if (mark := self._family.in_kernel(pid)) is not None}
        for pid in self._stuck.look(marks, time.monotonic()) - self._beyond:
            self._beyond.add(pid)
            self._tell(f"stuck {pid}")
        same, self._before = left == self._before, left
        self._pause = min(_LATER_S, 1.2 * self._pause) if same else _SOON_S
        self._wait(self._pause)

    def _end_what_is_left(self) -> None:
        if self._reap_at is None:
            self._left = len(self._alive())
        self._reap(0.0)

    def _look(self) -> list[int] | None:
        """The processes that are left and to end; None once there are none for sure."""
        tree = self._family.below(self._childless)
        left = [pid for pid, ended in tree if not ended and pid not in self._beyond]
        rest = {pid for pid, _ in tree}.difference(left)
        calm = self._family.calm(left, rest, self._childless)
        # A worker that has just died is no descendant any more, and not yet waited for.
        over = self._status is not None or self._worker in self._beyond
        return None if calm and over else left

    def _alive(self) -> list[int]:
        return [pid for pid, ended in self._family.below(self._childless) if not ended]

    def _signal(self, pids: list[int], number: int) -> set[int]:
        """Send it to all; returns those that may not be signaled, as what sudo has started."""
        beyond = set()
        for pid in filter(self._family.same, pids):
            try:
                os.kill(pid, number)
            except PermissionError:
                beyond.add(pid)
            except OSError:
                pass
        return beyond

    def _ending(self) -> bool:
        return self._status is not None or self._reap_at is not None

    def _patience(self, left: list[int]) -> float | None:
        if not self._ending():
            return None
        # Of what has just ended, and of what no look has shown, the next look tells.
        until = self._lingers_until if self._reap_at is None else self._reap_at
        return min(0.02, max(0.0, until - time.monotonic())) if left else 0.02

    def _collect(self) -> None:
        """Wait for every child that has ended: the worker, and orphans that became ours."""
        bad, exited = [], ""
        while True:
            limits = self._limits()
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                break
            if pid == self._worker:
                self._status = status
                peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                exited = f"exited {status} {peak} {usage.ru_utime + usage.ru_stime} {limits}"
                self._lingers_until = time.monotonic() + LINGER_S
            elif pid == 0:
                break
            elif status and self._reap_at is None:
                bad.append(f"child {pid} {status}")
        if exited:  # what was dead by then has become ours at that moment
            self._tell("\n".join([*bad, exited]))

    def _limits(self) -> str:
        """The worker's limits; while it is a zombie they can still be asked for."""
        try:
            return " ".join(str(resource.prlimit(self._worker, one)[i]) for one, i in _LIMITS)
        except (OSError, AttributeError):  # macOS has no such call
            return "-1 -1 -1"

    def _wait(self, seconds: float | None) -> None:
        sources: list[int | socket.socket] = [self._woken, *self._family.sources()]
        if not self.alone:
            sources.append(self._channel)
        ready = select.select(sources, [], [], seconds)[0]
        if self._woken in ready:
            os.read(self._woken, 4096)
        if self._family.news() and not self.alone:
            self._last_words()
        elif self._channel in ready:
            self._listen()

    def _last_words(self) -> None:
        """The supervisor has ended, and may have said before that the worker lives on. Somebody
        else may have its end of the socket open."""
        self._channel.setblocking(False)
        while self._listen():
            pass
        if not self.alone:
            self._orphaned()

    def _listen(self) -> bool:
        """Take in what the supervisor says. False if it was nothing."""
        try:
            data = self._channel.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._orphaned()
            return False
        for line in data.decode().splitlines():
            verb, _, value = line.partition(" ")
            self._kept |= verb == "keep"
            if verb == "reap":
                self._reap(float(value))
        return True

    def _reap(self, grace: float) -> None:
        """TERM now, KILL after `grace` seconds; a later call can only shorten it."""
        until = time.monotonic() + grace
        if self._reap_at is None:
            self._reap_at, tree = until, self._alive()
            self._signal(tree, signal.SIGTERM)
            # A stopped process takes its TERM only when it is continued.
            self._signal(tree, signal.SIGCONT)
        self._reap_at = min(self._reap_at, until)


def main(argv: list[str]) -> None:
    """Run the guard of a command.

    `argv`: the program; the files to hold, of which the first is the socket to the supervisor; the
    folder to delete once the supervisor is gone; the most bytes of a core, or -1 to leave that as
    it is; the command.
    """
    files = [int(word) for word in argv[1].split(",")]
    for file in files:
        os.set_inheritable(file, False)
    # The others are held for the worker: a terminal that closes would end one that is kept.
    channel = socket.socket(fileno=files[0])
    for ignored in spawn.IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    guard = Guard(channel, family(), argv[4:], int(argv[3]))
    guard.run()
    if guard.alone:
        # Otherwise it is the supervisor's, who wants what was compiled.
        shutil.rmtree(argv[2], ignore_errors=True)
    # The supervisor waits for our end, and an interpreter's takes longer than all of a small run's.
    os._exit(0)


def family() -> Family:
    """The family of this process, as this platform shows it."""
    if sys.platform == "linux":
        from harness.supervise.guarding.linux import Linux

        return Linux()
    if sys.platform == "darwin":
        from harness.supervise.guarding import macos

        if macos.sees():
            return macos.MacOS()
    from harness.supervise.guarding.elsewhere import Elsewhere

    return Elsewhere()
