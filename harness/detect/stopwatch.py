"""A clock that can be paused. Pure: whoever asks it says what time it is."""

from __future__ import annotations


class Stopwatch:
    """The time since a start, without the spans that do not count."""

    def __init__(self, start: float) -> None:
        self.start = start
        self._excluded = 0.0

    def restart(self, start: float) -> None:
        """Begin again at `start`, with nothing excluded."""
        self.start = start
        self._excluded = 0.0

    def exclude(self, seconds: float) -> None:
        """Do not count a span: nobody could run in it, or nobody could look."""
        self._excluded += seconds

    def elapsed(self, now: float) -> float:
        """The seconds up to `now` that count."""
        return now - self.start - self._excluded
