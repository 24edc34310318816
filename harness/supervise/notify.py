"""`--notify CMD`: a program of the user's is told of a doubt, of its end, and of the verdict.

It gets one JSON document on its standard input. It is run by no shell, has 10 s, and delays no
look. It comes at most once a minute for a run, but the verdict always comes.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Sequence

import msgspec

from harness.model import Cause

EVERY_S = 60.0
TIMEOUT_S = 10.0
VERDICT = "hung"


class Notifier:
    """Tells a program what becomes of runs; see the module."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)
        self._last: dict[str, float] = {}

    def __call__(self, event: str, name: str, cause: Cause) -> None:
        """Tell of `doubt`, `taken_back` or `hung`, of the run `name`, and why."""
        now = time.monotonic()
        if event != VERDICT and now - self._last.get(name, -EVERY_S) < EVERY_S:
            return
        self._last[name] = now
        document = msgspec.json.encode({"event": event, "run": name, "cause": cause})
        # Not a daemon: the verdict is the last thing that happens, and is still to be told.
        threading.Thread(target=self._tell, args=(document,), name="notify").start()

    def _tell(self, document: bytes) -> None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                self._argv,
                input=document,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_S,
                start_new_session=True,
            )
