"""The output of `faulthandler` after a signal: Python frames alone, innermost first.

A worker that answers with a thread of its own adds digests of its threads' variables, and the
timeouts of their waits.
"""

from __future__ import annotations

import math
import re

from harness.stacks.parse.frames import Frame, ThreadStack, python
from harness.text import late

_THREAD = late.compile(r"(?:Current thread|Thread) (0x[0-9a-f]+)(?: \[(.*)\])? \(most recent")
_VARIABLES = late.compile(r"Variables of thread (0x[0-9a-f]+): ([0-9a-f]{32})$")
_TIMEOUT = late.compile(r"Timeout of thread (0x[0-9a-f]+): (none|\d{1,15}\.\d{3})$")
_FRAME = late.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)$')


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    """`pid` is not in the text: the main thread is told by its outermost frame, a module's code."""
    threads: list[tuple[re.Match[str], list[Frame]]] = []
    variables: dict[int, str] = {}
    timeouts: dict[int, float] = {}
    for line in text.splitlines():
        if header := _THREAD.match(line):
            threads.append((header, []))
        elif threads and (match := _FRAME.match(line)):
            number = None if match[2] == "???" else int(match[2])
            threads[-1][1].append(python(match[3], match[1], number))
        elif match := _VARIABLES.match(line):
            variables[int(match[1], 16)] = match[2]
        elif match := _TIMEOUT.match(line):
            timeouts[int(match[1], 16)] = math.inf if match[2] == "none" else float(match[2])
    return tuple(
        ThreadStack(
            frames=tuple(frames),
            tid=int(header[1], 16),
            name=header[2] or "",
            main=bool(frames) and frames[-1].function == "<module>",
            native=False,
            variables=variables.get(int(header[1], 16), ""),
            timeout_s=timeouts.get(int(header[1], 16)),
        )
        for header, frames in threads
    )
