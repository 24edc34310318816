"""A format of the user's own: a regex with named groups.

Such a regex can take for ever: `(a|aa)+$` tries 2 to the power of the line's length. `re` cannot be
stopped while it tries, and holds the interpreter's lock. So the search is made by `regex`, which
takes the same patterns, ends after a timeout and lets the other threads run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.logs.reading import Reading, from_pairs
from harness.text.units import duration

if TYPE_CHECKING:
    import regex

GROUPS = (
    "step", "epoch", "phase", "loss", "validation_loss", "learning_rate", "lr",
    "memory_bytes", "memory_mb", "memory_gb", "tokens_per_s",
)  # fmt: skip
LONGEST = 2000
"""Characters of a line that are searched at most."""
LINE_S = 0.1
"""Seconds of CPU time after which the search of one line ends."""
SLOW_S = 0.001
"""A line that takes longer counts as slow. An ordinary one takes some microseconds."""
CREDIT_S = 1.0
"""Seconds of CPU time that slow lines may take in a row before the pattern is given up."""
SHARE = 0.1
"""The share of the time that slow lines may take in the long run."""
TRIED = ("a", "1", " ", "a ", "1 ", "1,", "a=", "[] ", "a, ", "a.")
"""Repeated, they show a pattern that takes for ever before anything is started."""
TRIED_LENGTH = 64
"""2 to this power is for ever; the fourth power of it takes less than `LINE_S`."""
CURE = (
    "It repeats something that matches the same text in several ways, as (a|aa)+ does. "
    "Write the repetition so that the next character shows where each round ends, "
    "for example (?:\\w+ )*"
)


class UserPattern:
    """Reads the lines in which a pattern is found.

    Raises ValueError when the pattern is no regex, has none of the groups in `GROUPS` or others, or
    takes for ever on a line of 64 characters. One that proves to be too slow later is given up.
    """

    def __init__(self, pattern: str) -> None:
        import regex  # takes 10 ms, and few runs have a pattern

        self.given_up = ""
        """The reason why the pattern is not searched any more, and the remedy; empty while it
        is."""
        self._pattern = pattern
        self._credit = CREDIT_S
        self._charged_at = time.monotonic()
        try:
            self._regex = regex.compile(pattern)
        except (regex.error, RecursionError, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        names = self._regex.groupindex.keys()
        if not names:
            raise ValueError(
                "the pattern names no group: add one, such as (?P<step>\\d+), "
                f"of {', '.join(GROUPS)}"
            )
        unknown = sorted(names - set(GROUPS))
        if unknown:
            raise ValueError(f"no such figure: {', '.join(unknown)}; use {', '.join(GROUPS)}")
        for piece in (*TRIED, *sorted(set(pattern))):
            # What follows the repetition must fail, or nothing is tried again; and the letters that
            # the pattern needs must be somewhere in the line, or nothing is tried at all.
            if self._is_stopped(piece * (TRIED_LENGTH // len(piece)) + "\0" + pattern):
                raise ValueError(f"it takes for ever on a line such as {piece * 4!r}... {CURE}")

    def read(self, line: str) -> Reading | None:
        """The figures that the pattern finds in the line."""
        if self.given_up:
            return None
        idle, began = time.monotonic() - self._charged_at, time.thread_time()
        try:
            found = self._search(line[:LONGEST])
        except TimeoutError:
            found = None
        took = time.thread_time() - began
        if took > SLOW_S:
            self._charge(took, idle, line)
        if found is None:
            return None
        groups = found.groupdict()
        given = from_pairs((name, text) for name, text in groups.items() if text is not None)
        return Reading(**given) if given else None

    def _search(self, line: str) -> regex.Match[str] | None:
        # `concurrent` lets the other threads run while it searches.
        return self._regex.search(line, timeout=LINE_S, concurrent=True)

    def _is_stopped(self, line: str) -> bool:
        try:
            self._search(line)
        except TimeoutError:
            return True
        return False

    def _charge(self, took: float, idle: float, line: str) -> None:
        """Take note of a slow line that came `idle` seconds after the slow line before it."""
        self._credit = min(CREDIT_S, self._credit + SHARE * idle) - took
        self._charged_at = time.monotonic()
        if self._credit < 0:
            self.given_up = (
                f"the pattern {self._pattern} is too slow and is not used any more: it took "
                f"{duration(took)} on a line of {len(line)} characters. {CURE}"
            )
