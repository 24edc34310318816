"""The text of gdb's `thread apply all bt`: native frames alone, innermost first."""

from __future__ import annotations

import re

from harness.stacks.parse.frames import UNKNOWN, Frame, ThreadStack, native
from harness.text import late

_THREAD = late.compile(r"Thread \d+ \((?:.*?LWP (\d+)|process (\d+))\)?(?: \"(.*)\")?\)?:")
_FRAME = late.compile(r"#\d+ +(?:0x[0-9a-f]+ in )?(.+)$")
_SOURCE = late.compile(r" at ([^ ()]+):(\d+)$")
_LIBRARY = late.compile(r" from (\S+)$")


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    threads: list[tuple[re.Match[str], list[Frame]]] = []
    for line in text.splitlines():
        if header := _THREAD.match(line):
            threads.append((header, []))
        elif threads and (match := _FRAME.match(line)):
            threads[-1][1].append(_frame(match[1]))
    return tuple(
        ThreadStack(
            frames=tuple(frames),
            tid=(tid := int(header[1] or header[2])),
            name=header[3] or "",
            main=tid == pid,
        )
        for header, frames in threads
    )


def _frame(text: str) -> Frame:
    source, library = _SOURCE.search(text), _LIBRARY.search(text)
    end = min(match.start() for match in (source, library) if match) if source or library else None
    function = _without_arguments(text[:end])
    return native(
        UNKNOWN if function == "??" else function,
        source[1] if source else None,
        int(source[2]) if source else None,
        library[1] if library else None,
    )


def _without_arguments(text: str) -> str:
    """`f (a=1, g=<g(int)>)` is `f`: gdb puts a space before the values, C++ none before types."""
    depth = 0
    for index in range(len(text) - 1, -1, -1):
        depth += (text[index] == ")") - (text[index] == "(")
        if depth == 0 and text[index] == "(":
            return text[:index].rstrip() or text
    return text
