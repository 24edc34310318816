"""A worker's stdout and stderr: always drained, kept bounded.

The first and the last MiB are kept. What is drained is written at once, the first part into the
file itself and the rest into two segments that take turns, so that a killed supervisor loses
nothing and a gigabyte of output costs neither memory nor disk.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO

KEEP = 1 << 20


class Log:
    """Bounded file: the first KEEP bytes, and of what follows the last KEEP."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head: IO[bytes] = path.open("wb", buffering=0)
        self._room = KEEP
        self._segments = (path.with_suffix(".tail-a"), path.with_suffix(".tail-b"))
        self._current = 0
        self._segment: IO[bytes] | None = None
        self._filled = 0
        self._total = 0

    def write(self, data: bytes) -> None:
        """Never raises: a full disk loses the log, not the run."""
        self._total += len(data)
        try:
            if self._room:
                self._head.write(data[: self._room])
                data, self._room = data[self._room :], max(0, self._room - len(data))
            while data:
                if self._segment is None or self._filled >= KEEP:
                    self._turn()
                assert self._segment is not None
                part = data[: KEEP - self._filled]
                self._segment.write(part)
                self._filled += len(part)
                data = data[len(part) :]
        except OSError:
            pass

    def _turn(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._current = 1 - self._current
        self._segment = self._segments[self._current].open("wb", buffering=0)
        self._filled = 0

    def close(self) -> None:
        """Join the parts into one file, with a line that says how much was left out."""
        try:
            if self._segment is not None:
                self._segment.close()
                older = self._segments[1 - self._current]
                before = older.read_bytes() if older.exists() else b""
                tail = (before + self._segments[self._current].read_bytes())[-KEEP:]
                left_out = self._total - (KEEP - self._room) - len(tail)
                if left_out:
                    self._head.write(b"\n[... %d bytes left out ...]\n" % left_out)
                self._head.write(tail)
            self._head.close()
        except OSError:
            pass
        for segment in self._segments:
            segment.unlink(missing_ok=True)


class Drain(threading.Thread):
    """Empties one pipe into a log, as fast as it fills. Ends when every writer is gone."""

    def __init__(self, pipe: int, path: Path) -> None:
        super().__init__(name=f"drain {path.name}", daemon=True)
        self._pipe = pipe
        self._log = Log(path)
        self.start()

    def run(self) -> None:
        while data := os.read(self._pipe, 1 << 18):
            self._log.write(data)
        os.close(self._pipe)
        self._log.close()
