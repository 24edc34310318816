"""Frames without a symbol, told by their module and the offset in it. Pure.

A tool prints an address, which is another one in each run. The mappings of the process turn it into
`trainer+0x1a2b3c`, which `addr2line` understands where somebody has kept the symbols.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from harness.text import late

_MAPPING = late.compile(
    r"^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (\S{4}) ([0-9a-f]{1,16}) [0-9a-f]+:[0-9a-f]+ \d+ +(/.*)$",
    re.M,
)
_LINES = {
    "gdb": late.compile(r"^(#\d+ +0x([0-9a-f]{1,16}) in \?\? \(\))(?: from (\S.*))?$", re.M),
    "py-spy": late.compile(r"^(    0x([0-9a-f]{1,16})) \(([^()\n]+)\)$", re.M),
}
"""Frames without a symbol as a parser's tools print them: the frame, its address, its library."""
_WRITTEN = {"gdb": "{} from {}", "py-spy": "{} ({})"}
_DELETED = " (deleted)"


class Module(NamedTuple):
    """A stretch of code that is mapped from a file."""

    start: int
    end: int
    base: int
    """The place of the file's beginning in memory."""
    path: str


def modules(mappings: str) -> tuple[Module, ...]:
    """The stretches of code among the lines of /proc/PID/maps, by address."""
    return tuple(sorted(_modules(mappings)))


def _modules(mappings: str) -> Iterator[Module]:
    base, before = 0, ""
    for start, end, flags, offset, path in _MAPPING.findall(mappings):
        # A file that is mapped twice begins anew.
        if path != before or int(offset, 16) == 0:
            base, before = max(0, int(start, 16) - int(offset, 16)), path
        if "x" in flags:
            yield Module(int(start, 16), int(end, 16), base, path.removesuffix(_DELETED))


def annotated(parser: str, text: str, mappings: str) -> str:
    """The text of a stack tool, with module and offset at each frame without a symbol."""
    lines = _LINES.get(parser)
    known = modules(mappings)
    if lines is None or not known:
        return text
    starts = [module.start for module in known]

    def located(match: re.Match[str]) -> str:
        address = int(match[2], 16)
        module = known[bisect_right(starts, address) - 1]
        if not module.start <= address < module.end:
            return match[0]
        shown = match[3] or module.path
        # A parser takes a library for what has no space in it.
        name = shown if " " not in shown else shown.rpartition("/")[2].replace(" ", "_")
        return _WRITTEN[parser].format(match[1], f"{name}+{address - module.base:#x}")

    return lines.sub(located, text)
