"""The text of `pystack remote --native-all`: outermost frame first, Python and native merged.

Its command has no other form of output (up to 1.7.2).
"""

from __future__ import annotations

import re

import msgspec

from harness.stacks.parse.frames import UNKNOWN, Frame, Gil, ThreadStack, native, python
from harness.text import late

_THREAD = late.compile(r"Traceback for thread (\d+)(?: \((.*?)\))? \[(.*?)\]")
_FRAME = late.compile(r'\s+\((C|Python)\) File "(.*?)", line (\d+), in (.+)$')
_LIBRARY = late.compile(
    r" \(((?:~|<[\w-]+>)?/[^()]*|\[(?:vdso|vsyscall)\b[^()]*)(?: \(deleted\))?\)$"
)
"""Its path, also as it is after redaction, or the name of what the kernel itself maps."""
_SOURCE = " " * 8
"""The beginning of the line below a frame of Python, which has its source."""
_PYTHON_ALONE = "Unable to merge native stack"
"""pystack's note where it lacks the symbols of an interpreter, as of a stripped Python 3.14."""


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    threads: list[tuple[re.Match[str], list[Frame]]] = []
    alone: set[int] = set()
    for line in text.splitlines():
        if header := _THREAD.match(line):
            threads.append((header, []))
        elif threads and (found := _FRAME.match(line)):
            threads[-1][1].append(_frame(found))
        elif threads and _PYTHON_ALONE in line:
            alone.add(int(threads[-1][0][1]))
        elif threads and threads[-1][1] and line.startswith(_SOURCE):
            _with_source(threads[-1][1], line)
    asked = any(not frame.python for _, frames in threads for frame in frames)
    return tuple(
        _thread(header, frames, pid, asked and int(header[1]) not in alone)
        for header, frames in threads
    )


def _frame(match: re.Match[str]) -> Frame:
    kind, path, number, rest = match.groups()
    if kind == "Python":
        return python(rest, path, int(number))
    library = _LIBRARY.search(rest)
    function = rest[: library.start()] if library else rest
    source = None if int(number) == 0 and function == UNKNOWN else path
    return native(function, source, int(number), library[1] if library else None)


def _with_source(frames: list[Frame], line: str) -> None:
    """Give the last frame its line of source, if it is one of Python that has none yet."""
    last = frames[-1]
    if last.python and last.source is None and line.strip():
        frames[-1] = msgspec.structs.replace(last, source=line.strip())


def _thread(header: re.Match[str], frames: list[Frame], pid: int, native: bool) -> ThreadStack:
    tid, name, status = int(header[1]), header[2] or "", header[3]
    return ThreadStack(
        frames=tuple(reversed(frames)),
        tid=tid,
        name=name,
        main=tid == pid,
        native=native,
        gil=Gil.HOLDS if "Has the GIL" in status
        else Gil.WAITS if "Waiting for the GIL" in status
        else None,
    )  # fmt: skip
