"""Frames of Python, and the user's own among them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.text import late

_LIBRARY = late.compile(
    r"(?:^|[/\\])(?:site-packages|dist-packages|lib(?:64)?[/\\]python\d[\d.]*t?|Lib)[/\\]"
    r"|^<(?!stdin>|string>|ipython|python-input)"
)
"""Files that are not the user's: installed packages, the standard library, frozen modules."""


@dataclass(frozen=True)
class Frame:
    """A line of a stack."""

    file: str
    line: int
    function: str = ""
    """Empty in a syntax error, which lies in no function."""

    @property
    def told(self) -> str:
        """The frame without the folders: `train.py:12 in main`."""
        name = re.split(r"[/\\]", self.file)[-1]
        known = self.function and self.function != "<module>"
        return f"{name}:{self.line}" + (f" in {self.function}" if known else "")


def own(frames: Sequence[Frame]) -> Frame | None:
    """The innermost frame of the user's own code, or else of any. `frames` end with the innermost.
    """  # fmt: skip
    users = [frame for frame in frames if not _LIBRARY.search(frame.file)]
    chosen = users or frames
    return chosen[-1] if chosen else None
