"""A format of the user's own: a regex with named groups."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from harness.logs.backtracking import ambiguous
from harness.logs.reading import Reading, from_pairs

GROUPS = (
    "step", "epoch", "phase", "loss", "validation_loss", "learning_rate", "lr",
    "memory_bytes", "memory_mb", "memory_gb", "tokens_per_s",
)  # fmt: skip
LONGEST = 2000
"""Characters of a line that are searched at most."""
SHORT = 125
SLOW_S = 0.01
"""The regex is the user's: its time may grow with a power of the line's length, and while it runs
nothing else does. A long line is searched in part first, and no further where that is as slow."""


def reader(pattern: str) -> Callable[[str], Reading | None]:
    """`read` for the lines in which `pattern` is found.

    Raises ValueError when it is no regex, has none of the groups in `GROUPS` or others, or has a
    repetition, such as `(a+)+`, whose time doubles with each character.
    """
    try:
        regex = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if not regex.groupindex:
        raise ValueError(
            f"the pattern names no group: add one, such as (?P<step>\\d+), of {', '.join(GROUPS)}"
        )
    unknown = sorted(regex.groupindex.keys() - set(GROUPS))
    if unknown:
        raise ValueError(f"no such figure: {', '.join(unknown)}; use {', '.join(GROUPS)}")
    if ambiguous(pattern):
        raise ValueError(
            "it repeats something that can match the same text in several ways, as (a+)+ does: "
            "that can take for ever. Where one round ends and the next begins must be clear from "
            "the next character, as in (?:\\w+ )*"
        )

    def read(line: str) -> Reading | None:
        match = _search(regex, line)
        if match is None:
            return None
        given = from_pairs(match.groupdict().items())
        return Reading(**given) if given else None

    return read


def _search(regex: re.Pattern[str], line: str) -> re.Match[str] | None:
    size = SHORT
    while size < min(len(line), LONGEST):
        began = time.thread_time()
        match = regex.search(line[:size])
        if time.thread_time() - began > SLOW_S:
            return match
        size *= 2
    return regex.search(line[:LONGEST])
