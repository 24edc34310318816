"""A format of the user's own: a regex with named groups."""

from __future__ import annotations

import re
from collections.abc import Callable

from harness.adapters.reading import Reading, from_pairs

GROUPS = (
    "step", "epoch", "phase", "loss", "validation_loss", "learning_rate", "lr",
    "memory_bytes", "memory_mb", "memory_gb", "tokens_per_s",
)  # fmt: skip
LONGEST = 2000
"""The regex is the user's, so how its time grows with the line is not known: no longer ones."""

_NESTED = re.compile(r"[^\\][+*}]\)[+*{]")


def reader(pattern: str) -> Callable[[str], Reading | None]:
    """`read` for the lines in which `pattern` is found.

    Raises ValueError when it is no regex, has none of the groups in `GROUPS` or others, or
    repeats a repetition, `(a+)+`, whose time doubles with each character.
    """
    try:
        regex = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if not regex.groupindex:
        raise ValueError(f"the pattern names no group, such as (?P<step>\\d+): {', '.join(GROUPS)}")
    unknown = sorted(regex.groupindex.keys() - set(GROUPS))
    if unknown:
        raise ValueError(f"no such figure: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    if _NESTED.search(pattern):
        raise ValueError("a repetition of a repetition, as in (a+)+, can take for ever")

    def read(line: str) -> Reading | None:
        found = regex.search(line[:LONGEST])
        if found is None:
            return None
        given = from_pairs(found.groupdict().items())
        return Reading(**given) if given else None

    return read
