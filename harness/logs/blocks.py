"""Dictionaries that are printed on several lines, as one: by pprint, or as JSON with indents."""

from __future__ import annotations

from collections.abc import Callable

from harness.logs.reading import Reading

_LINES = 64
_LONGEST = 400
_IN_LIST = ("[", "},")
"""The ends of the line before a dictionary that begins a line within another: JSON without indents
has lists of them."""


class Blocks:
    """Reads one stream by `read`, which gets a dictionary whole."""

    def __init__(self, read: Callable[[str], Reading | None]) -> None:
        self._read = read
        self._parts: list[str] = []
        self._depth = 0

    def read(self, line: str) -> Reading | None:
        """The reading of a line, or of the dictionary that it ends."""
        if self._parts and (
            (line[0] == "{" and not self._parts[-1].endswith(_IN_LIST))
            or len(self._parts) >= _LINES
            or len(line) > _LONGEST
        ):
            self._parts, self._depth = [], 0  # it was none, or its end is lost
        if not self._parts and (line[0] != "{" or line[-1] not in "{,"):
            return self._read(line)
        self._parts.append(line.strip())
        self._depth += line.count("{") - line.count("}")
        if self._depth > 0:
            return None
        whole, self._parts, self._depth = " ".join(self._parts), [], 0
        return self._read(whole)
