"""Terminals that a process may read from, and whether a person's typing goes there. Linux only."""

from __future__ import annotations

import os
from typing import NamedTuple

from harness.observe.linux import file_table, files, reading
from harness.observe.linux.file_table import FileTable

MASTERS = ("/dev/ptmx", "/dev/pts/ptmx")
"""The other end of a pseudo-terminal, which a terminal's window, ssh or `script` holds."""
_SLAVES = "/dev/pts/"
_TERMINALS = (_SLAVES, "/dev/tty", "/dev/console")
_THIS = ((5, 0), (5, 1))
"""Names for one's own terminal, and for the machine's."""
_VIRTUAL, _PSEUDO = 4, range(136, 144)
_LAST_CONSOLE = 63


class Control(NamedTuple):
    """The place of a process among those of its terminal."""

    group: int
    terminal: tuple[int, int]
    """Device numbers of the terminal that controls its session; (0, 0) if none does."""
    foreground: int
    """The process group that may read from that terminal."""


def is_terminal(target: str) -> bool:
    return target.startswith(_TERMINALS) and target not in MASTERS


def control(pid: int) -> Control | None:
    stat = reading.stat(f"/proc/{pid}/stat")
    if stat is None:
        return None
    number = int(stat[1][4]) & 0xFFFFFFFF
    device = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    return Control(int(stat[1][2]), device, int(stat[1][5]))


def person(pid: int, file: int) -> bool:
    """Check whether `pid` gets what a person types at the terminal that it has open as `file`.

    A terminal gives its input to one process group of the session that it controls.
    """
    own = control(pid)
    try:
        _, device = files.kind_of(f"/proc/{pid}/fd/{file}")
    except OSError:
        return False
    if own is None:
        return False
    if device == own.terminal or (device in _THIS and own.terminal != (0, 0)):
        return own.group == own.foreground
    # It controls no session, or another one, which has its input. Who uses a serial line as a
    # device is no person.
    typed = device[0] in _PSEUDO or (device[0] == _VIRTUAL and 0 < device[1] <= _LAST_CONSOLE)
    return typed and not any(
        (other := control(one)) is not None and other.terminal == device
        for one in reading.numbers("/proc")
    )


def masters(target: str, pid: int, table: FileTable) -> tuple[int, ...]:
    """The processes that hold the other end of a pseudo-terminal, such as `/dev/pts/3`."""
    number = os.path.basename(target)
    return file_table.others(
        (
            holder
            for name in MASTERS
            for holder in table.holders(name)
            if file_table.info_line(*holder, "tty-index") == number
        ),
        pid,
    )


def slaves(pid: int, file: int, table: FileTable) -> tuple[int, ...]:
    """The processes that have the terminal open of which `pid` holds the other end."""
    number = file_table.info_line(pid, file, "tty-index")
    return () if number is None else file_table.others(table.holders(_SLAVES + number), pid)
