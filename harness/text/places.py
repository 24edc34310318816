"""Places in a user's code: `train.py:12 in step`, and the one that a traceback ends at. Pure."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import NamedTuple

from harness.text import late

_PLACE = late.compile(r"(.+?):(\d+)(?: in (.+))?")
_NAMED = late.compile(r"([\w.-]+\.py):(\d+)(?: in (\w+))?")
_BEGIN = "Traceback (most recent call last):"
_FATAL = "Current thread 0x"
_FRAME = late.compile(r'^[ |+]*File "([^"\n]+)", line (\d+),? in (.+)$')
_INSTALLED = late.compile(r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python3\.\d+t?[/\\]")
_OURS = late.compile(r"[/\\]harness[/\\](?:worker|training|inject|scenario)(?:[/\\.])")


class Place(NamedTuple):
    """A line of code, by its file's name."""

    file: str
    line: int
    """From 1 on."""
    function: str

    def __str__(self) -> str:
        inside = f" in {self.function}" if self.function else ""
        return f"{self.file}:{self.line}{inside}"


def parsed(text: str) -> Place | None:
    """The place that `text` names.

    >>> parsed("train.py:12 in step")
    Place(file='train.py', line=12, function='step')
    """
    found = _PLACE.fullmatch(text)
    return Place(found[1], int(found[2]), found[3] or "") if found else None


def named(text: str) -> Place | None:
    """The first line of a file of Python that `text` names.

    >>> named("mine.py:12 in step returns a number")
    Place(file='mine.py', line=12, function='step')
    """
    found = _NAMED.search(text)
    return Place(found[1], int(found[2]), found[3] or "") if found else None


def raised(text: str) -> Place | None:
    """The innermost line of the user's own in the last traceback in `text`; None without one.

    That may be faulthandler's, of a fatal signal. Where all of it is installed code, the innermost
    line of that which is no part of Python.
    """
    begin, fatal = text.rfind(_BEGIN), text.rfind(_FATAL)
    if max(begin, fatal) < 0:
        return None
    lines = text[max(begin, fatal) :].splitlines()
    if fatal > begin:
        lines = [*takewhile(str.strip, lines)][::-1]
    frames = [found for line in lines if (found := _FRAME.match(line))]
    named = [f for f in frames if not f[1].startswith("<") and not _OURS.search(f[1])]
    own = [f for f in named if not _INSTALLED.search(f[1])]
    packages = [f for f in named if re.search(r"(?:site|dist)-packages", f[1])]
    last = next(reversed(own or packages), None)
    if last is None:
        return None
    function = last[3].strip()
    name = re.split(r"[/\\]", last[1])[-1]
    return Place(name, int(last[2]), "" if function == "<module>" else function)
