"""The lease of life of what a supervisor starts on another host: lines on stdin renew it."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from typing import Any

from harness.supervise.launch import Launched

LEASE_S = 60.0
"""The time that it goes on without a word from the supervisor, in seconds."""
ASKED_S = 2.0
"""The time for which an inspection that was asked for is still wanted, in seconds."""
INSPECT = b"inspect\n"
"""The supervisor's question whether the worker uses the CPU and gets nowhere."""


class Lease(threading.Thread):
    """Reads what the supervisor says; ends this process when it says nothing any more."""

    def __init__(self) -> None:
        super().__init__(name="lease", daemon=True)
        self.asked = -ASKED_S

    def run(self) -> None:
        while data := self._heard():
            if INSPECT in data:
                self.asked = time.monotonic()
        os.kill(os.getpid(), signal.SIGHUP)

    def _heard(self) -> bytes:
        try:
            return os.read(0, 4096) if select.select([0], [], [], LEASE_S)[0] else b""
        except OSError:  # how a terminal says that it has hung up
            return b""


def begin() -> Lease:
    """Begin the lease. At its end, SystemExit is raised in the main thread, whose call this is."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _leave)
    lease = Lease()
    lease.start()
    return lease


def _leave(number: int, frame: Any) -> None:
    for one in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


def end(process: Launched, grace: float = 0.0) -> None:
    """End `process` and its whole tree, of which nothing is left after `grace` seconds."""
    if process.quiet:
        return
    process.reap(grace)
    while not process.quiet:
        select.select([process.channel], [], [])
        process.listen()
    process.close(keep_kernels=False)
