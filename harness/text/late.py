"""Patterns that are compiled when they are first used.

A command needs a few of some five hundred patterns. To compile them all at its start would take a
fifth of the time that a short run takes.
"""

from __future__ import annotations

import re
from typing import Any, cast


def compile(pattern: str, flags: int | re.RegexFlag = 0) -> re.Pattern[str]:
    """As `re.compile`, for a constant of a module: it compiles `pattern` at the first use.

    A wrong pattern raises `re.error` there. A test compiles each of them. The functions of `re` do
    not take it in the place of a pattern: call its own methods.
    """
    return cast("re.Pattern[str]", Late(pattern, flags))


class Late:
    """A pattern that is not compiled yet. It keeps each method of the real one that was used."""

    def __init__(self, pattern: str, flags: int | re.RegexFlag) -> None:
        self.pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # an enum and `copy` ask for such names, which is no use
            raise AttributeError(name)
        found = getattr(re.compile(self.pattern, self._flags), name)
        setattr(self, name, found)
        return found
