"""The kernel's log: kills for want of memory, faults, and failures of NVIDIA's driver.

Reading it needs root where kernel.dmesg_restrict is set. Only what comes after `KernelLog()` was
made is read.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from harness.model.death import KernelWord
from harness.text import late
from harness.text.units import size

_PLACE = "/dev/kmsg"
_MOST = 20_000
"""Lines that are read at most."""
_FIRST_PIDS = "pid:[4026531836]"
"""The name space in which the kernel numbers processes in its log (PROC_PID_INIT_INO)."""
_KILL = late.compile(
    r"^(?P<why>Memory cgroup out of memory|Out of memory)[^:]*: Killed process (?P<pid>\d+) "
    r"\((?P<name>.*?)\),?(?:.*?anon-rss:(?P<rss>\d+)kB)?"
)
_FAULT = late.compile(
    r"^(?P<name>.*)\[(?P<pid>\d+)\]: (?P<kind>segfault|bus error) at (?P<at>[0-9a-f]+) "
    r"ip (?P<ip>[0-9a-f]+) sp (?P<sp>[0-9a-f]+) error \S+"
    r"(?: in (?P<file>\S+?)\[(?:(?P<offset>[0-9a-f]+),)?(?P<base>[0-9a-f]+)\+[0-9a-f]+\])?"
)
_TRAP = late.compile(r"^traps: (?P<name>.*)\[(?P<pid>\d+)\] (?P<what>.+?) ip:[0-9a-f]+")
_XID = late.compile(r"^NVRM: (?P<text>Xid .+)")
_XID_OF = late.compile(r"\bpid='?(\d+)'?(?:, name=([^,]+))?")
_STACK = 64 * 1024
"""An address so near to the stack pointer, and not there, is beyond the end of the stack."""


def parse(line: str, numbered: bool = True) -> KernelWord | None:
    """One message of the log; None of one that concerns nobody here. Pure.

    `numbered` says that the numbers in it are those of this process's own view.
    """
    if found := _KILL.search(line):
        used = f"with {size(int(found['rss']) * 1024)} in use" if found["rss"] else ""
        pid = int(found["pid"]) if numbered else None
        of_group = found["why"].startswith("Memory")
        return KernelWord(
            kind="oom_kill", pid=pid, name=found["name"], text=used, of_group=of_group
        )
    if found := _FAULT.search(line):
        pid = int(found["pid"]) if numbered else None
        return KernelWord(kind="fault", pid=pid, name=found["name"], text=_fault(found))
    if found := _TRAP.search(line):
        pid = int(found["pid"]) if numbered else None
        return KernelWord(kind="fault", pid=pid, name=found["name"], text=found["what"])
    if found := _XID.search(line):
        whose = _XID_OF.search(found["text"])
        number = int(whose[1]) if whose and numbered else None
        name = (whose[2] or "") if whose else ""
        return KernelWord(kind="xid", pid=number, name=name, text=f"NVRM: {found['text']}")
    return None


def fault(address: int, stack: int, bus_error: bool = False) -> str:
    """The action of a process that used `address` while its stack pointer was `stack`, as a
    clause."""
    if abs(address - stack) < _STACK and not bus_error:
        return "its stack was used up"
    if address < 4096:
        return f"it used address {address:#x}, a null pointer"
    return f"it used address {address:#x}, which it may not use"


def _fault(found: re.Match[str]) -> str:
    text = fault(int(found["at"], 16), int(found["sp"], 16), found["kind"] == "bus error")
    if not found["file"]:
        return text
    offset = int(found["ip"], 16) - int(found["base"], 16) + int(found["offset"] or "0", 16)
    return f"{text}, in {found['file']}+{offset:#x}"


class KernelLog:
    """The messages since this was made. Empty where the log cannot be read."""

    def __init__(self, place: str = _PLACE) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)

    def read(self) -> tuple[KernelWord, ...]:
        """The messages that concern somebody; to be called once."""
        numbered = False
        with contextlib.suppress(OSError):
            numbered = os.readlink("/proc/self/ns/pid") == _FIRST_PIDS
        words = (parse(line, numbered) for line in self._lines())
        return tuple(word for word in words if word is not None)

    def _lines(self) -> Iterator[str]:
        if self._file is None:
            return
        try:
            for _ in range(_MOST):
                try:
                    record = os.read(self._file, 8192)
                except BrokenPipeError:
                    continue  # what came next has been written over
                if not record:
                    return
                yield record.decode("utf-8", "replace").partition(";")[2].partition("\n")[0]
        except OSError:  # there are no more
            return
        finally:
            os.close(self._file)
            self._file = None
