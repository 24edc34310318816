"""Parsers, from what a stack tool prints to threads and frames: pure, one module a tool."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from harness.stacks.parse import faulthandler, gdb, pyspy, pystack, sample, spindump
from harness.stacks.parse.frames import Frame, Gil, Owner, Share, ThreadStack

PARSERS: MappingProxyType[str, Callable[[str, int], tuple[ThreadStack, ...]]] = MappingProxyType(
    {
        "pystack": pystack.parse,
        "py-spy": pyspy.parse,
        "gdb": gdb.parse,
        "sample": sample.parse,
        "spindump": spindump.parse,
        "faulthandler": faulthandler.parse,
    }
)


def parse(tool: str, text: str, pid: int) -> tuple[ThreadStack, ...]:
    """The threads in `text`, which `tool` printed about process `pid`, those with frames alone.

    Never raises for what it does not understand: lines that are no frames are skipped.
    """
    return tuple(thread for thread in PARSERS[tool](text, pid) if thread.frames)


__all__ = ["PARSERS", "Frame", "Gil", "Owner", "Share", "ThreadStack", "parse"]
