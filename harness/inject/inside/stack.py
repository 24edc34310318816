"""The Python stack at each operation of a step.

Most operations are a few lines from the one before, in the same function: what is around that
function is shared, so that an operation pays for the frames that are new.
"""

from __future__ import annotations

import inspect
import sys
from types import CodeType, FrameType
from typing import Any, Iterator, Optional

_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Frames that may go on below another caller than before."""

# Plain tuples: a class of its own would take twice the time of an operation.
Line = tuple[CodeType, int, Any, Any]
"""A place on the stack: the code, the index of its last instruction, the `self` of a `__call__` or
None, and the `Line` of the caller or None."""


class Stack:
    """The stack of one thread, as it was at the last operation."""

    def __init__(self) -> None:
        self._frames: list[tuple[FrameType, Any, Optional[Line]]] = []
        """Those that have not returned, the outermost first, with their module and their caller's
        line: while they are here, their callers wait where they are."""
        self._depths: dict[FrameType, int] = {}

    def line(self, above: int) -> Line:
        """The line of the function that is `above` frames above the caller."""
        frames, depths = self._frames, self._depths
        frame: Optional[FrameType] = sys._getframe(above + 1)
        new: list[FrameType] = []
        while frame is not None:
            if frame in depths and not frame.f_code.co_flags & _RESUMED:
                break
            new.append(frame)
            frame = frame.f_back
        depth = 0 if frame is None else depths[frame] + 1
        while len(frames) > depth:
            del depths[frames.pop()[0]]
        line: Any = None
        if frame is not None:
            _, module, caller = frames[-1]
            line = (frame.f_code, frame.f_lasti, module, caller)
        for frame in reversed(new):
            code = frame.f_code
            module = frame.f_locals.get("self") if code.co_name == "__call__" else None
            depths[frame] = len(frames)
            frames.append((frame, module, line))
            line = (code, frame.f_lasti, module, line)
        return line  # type: ignore[no-any-return]

    def clear(self) -> None:
        """Let go of the frames, which hold their local variables."""
        self._frames.clear()
        self._depths.clear()


def lines(line: Optional[Line]) -> Iterator[Line]:
    """The lines of a stack, the innermost first."""
    while line is not None:
        yield line
        line = line[3]
