"""Memory on macOS, of what psutil does not tell. It has never run there: its parsers are tested."""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
from collections.abc import Iterable

import msgspec

from harness.model import Machine

_RUSAGE_INFO_V0 = 0
_RUSAGE = struct.Struct("<16s10Q")
"""rusage_info_v0 of <sys/resource.h>: a UUID, then ten counters."""
_PHYS_FOOTPRINT = 8
"""Its place: after the UUID, two times, two kinds of wakes, page-ins, wired and resident size."""


def strained(figures: Machine) -> Machine:
    """`found`, with the compressor's memory and the pressure that the kernel speaks of."""
    return msgspec.structs.replace(
        figures,
        compressed=compressed(_output("vm_stat")),
        pressure_level=level(_output("sysctl", "-n", "kern.memorystatus_vm_pressure_level")),
    )


def compressed(vm_stat: str) -> int | None:
    """Bytes that the compressor occupies. The size of a page is said in the first line."""
    page = re.search(r"page size of (\d+) bytes", vm_stat)
    pages = re.search(r"^Pages occupied by compressor: +(\d+)\.", vm_stat, re.MULTILINE)
    return int(page[1]) * int(pages[1]) if page and pages else None


def level(sysctl: str) -> int | None:
    text = sysctl.strip()
    return int(text) if text.isdecimal() else None


def footprint(pids: Iterable[int]) -> int | None:
    """Bytes of the physical footprint of these processes together, as Activity Monitor shows it."""
    library = ctypes.CDLL("/usr/lib/libproc.dylib")
    total = None
    for pid in pids:
        buffer = ctypes.create_string_buffer(_RUSAGE.size)
        if library.proc_pid_rusage(pid, _RUSAGE_INFO_V0, buffer) == 0:
            total = (total or 0) + in_rusage(buffer.raw)
    return total


def in_rusage(info: bytes) -> int:
    """ri_phys_footprint of a rusage_info_v0."""
    return int(_RUSAGE.unpack(info)[_PHYS_FOOTPRINT])


def _output(*command: str) -> str:
    """The output of a small tool of the system; empty when it cannot."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
