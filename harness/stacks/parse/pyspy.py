"""The text of `py-spy dump`, with or without `--native`: innermost frame first.

Only threads that Python knows are in it, and native frames from the first one that is not of the
interpreter's loop.
"""

from __future__ import annotations

import re

from harness.stacks.parse.frames import UNKNOWN, Frame, Gil, ThreadStack, native, python

_THREAD = re.compile(r"Thread (0x[0-9A-Fa-f]+|\d+) \((.*?)\)(?:: \"(.*)\")?$")
_FRAME = re.compile(r"    (\S.*) \(([^()]+?)(?::(\d+))?\)$")
_ADDRESS = re.compile(r"0x[0-9a-f]+$")
_PYTHON = re.compile(r"(\.pyx?|^<.*>)$")


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    threads: list[tuple[re.Match[str], list[Frame]]] = []
    for line in text.splitlines():
        if header := _THREAD.match(line):
            threads.append((header, []))
        elif threads and (match := _FRAME.match(line)):
            threads[-1][1].append(_frame(match))
    any_native = any(not frame.python for _, frames in threads for frame in frames)
    return tuple(_thread(header, frames, pid, any_native) for header, frames in threads)


def _frame(match: re.Match[str]) -> Frame:
    function, file, number = match[1], match[2], int(match[3] or 0) or None
    if _PYTHON.search(file):
        return python(function, file, number)
    name = UNKNOWN if _ADDRESS.match(function) else function
    return native(name, file if number else None, number, None if number else file)


def _thread(header: re.Match[str], frames: list[Frame], pid: int, any_native: bool) -> ThreadStack:
    tid, status, name = int(header[1], 0), header[2], header[3] or ""
    return ThreadStack(
        frames=tuple(frames),
        tid=tid,
        name=name,
        main=tid == pid or name == "MainThread",
        running=status.startswith("active"),
        native=any_native,
        gil=Gil.HOLDS if "gil" in status else None,
    )
