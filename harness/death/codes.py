"""Known errors in printed text: which row of the table a line matches. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from harness.death.code_table import CODES
from harness.model.death import ErrorCode

_LONGEST = 2000
"""Characters of a line in which an error is looked for."""


@functools.cache
def _patterns() -> tuple[tuple[re.Pattern[str], ErrorCode], ...]:
    return tuple((re.compile(row.pattern), row) for row in CODES)


def match(text: str) -> ErrorCode | None:
    """The known error in one line; None without one."""
    text = text[:_LONGEST]
    return next((row for pattern, row in _patterns() if pattern.search(text)), None)


def search(lines: Iterable[str]) -> tuple[ErrorCode, str] | None:
    """The known error that counts in `lines`, and its line: the first that follows from no other.
    """  # fmt: skip
    found = [(row, line) for line in lines if (row := match(line)) is not None]
    return next((one for one in found if not one[0].follows), found[0] if found else None)
