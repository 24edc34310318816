"""`--notify CMD`: a program of the user's is told of a doubt, of its end, and of the verdict.

It gets one JSON document on its standard input. It is run by no shell, has 10 s, and delays no
look. It is told of a doubt at most once a minute for each run. The end of a doubt that it was told
of always comes, and so does the verdict.
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
DOUBT = "doubt"


class Notifier:
    """Tells a program what becomes of runs; see the module."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)
        self._last: dict[str, float] = {}
        self._doubted: set[str] = set()
        """The runs whose last message was of a doubt."""

    def __call__(self, event: str, name: str, cause: Cause) -> None:
        """Tell of `doubt`, `taken_back` or `hung`, of the run `name`, and why."""
        if event == DOUBT:
            now = time.monotonic()
            if now - self._last.get(name, -EVERY_S) < EVERY_S:
                return
            self._last[name] = now
            self._doubted.add(name)
        elif event != VERDICT:
            if name not in self._doubted:
                return
            self._doubted.remove(name)
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
