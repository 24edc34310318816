"""Beats out of what a command prints: the lines it writes take the place of a worker's own word."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from harness.logs import Adapter, Reading, Recognition, Recognizer
from harness.supervise.log_beats import LogBeats

__all__ = ["Ear", "LogBeats"]

SHARE = 0.5
"""The share of the time that may go into reading output; output that comes faster is skipped."""
CREDIT_S = 1.0
PAUSE_S = 0.2
"""Without output for so long, a line without an end is read as it stands."""


class Ear:
    """Listens to one output. `hear` is called by the thread that reads it, `pause` by another."""

    def __init__(self, beats: LogBeats, adapters: Sequence[Adapter]) -> None:
        self.skipped = 0
        """Bytes that came faster than they could be read."""
        self._beats = beats
        self._recognizer = Recognizer(adapters)
        self._lock = beats.lock
        self._credit = CREDIT_S
        self._since = time.monotonic()
        self.heard_at = 0.0
        """When it was last heard, by the monotonic clock; 0 if it was silent."""
        self._missed = b""
        self._paused = True

    def hear(self, data: bytes) -> None:
        """Take what was printed; what would cost too much time is left out, but for its end."""
        with self._lock:
            began = time.monotonic()
            self._credit = min(CREDIT_S, self._credit + SHARE * (began - self._since))
            self._since = self.heard_at = began
            self._paused = False
            if self._credit <= 0:
                self.skipped += len(self._missed)
                self._missed = data
                return
            self._read(data)
            if data.endswith(b"]"):
                # A bar as it stands: only its next redraw, a step later, ends its line.
                self._take(self._recognizer.peek())
            self._credit -= time.monotonic() - began

    def pause(self) -> None:
        """Call now and then: reads an unfinished line once nothing has come for a while."""
        with self._lock:
            if self._paused or time.monotonic() - self._since < PAUSE_S:
                return
            self._paused = True
            self._read(b"")
            self._take(self._recognizer.peek())

    @property
    def end_is_explained(self) -> bool:
        """True if the output speaks of stopping, converging or resuming."""
        return self._recognizer.words.explain_the_end

    def close(self) -> Recognition:
        """Read what is left; returns what the output was found to be."""
        with self._lock:
            self._read(b"")
            self._take(self._recognizer.close())
            return self._recognizer.recognition

    def _read(self, data: bytes) -> None:
        if self._missed:
            # What was skipped before it cut a line in two.
            data, self._missed = b"\n" * bool(self.skipped) + self._missed + data, b""
        self._take(self._recognizer.feed(data))

    def _take(self, readings: Iterable[Reading]) -> None:
        for reading, said_by in zip(readings, self._recognizer.said_by, strict=True):
            self._beats.take(reading, (self, said_by))
