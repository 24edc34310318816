"""Reading the small files of /proc."""

from __future__ import annotations

import os

_THREAD_FIELDS = 13
"""Those up to the CPU time."""


def read(path: str) -> bytes:
    """The whole of a file; empty when it cannot be read. /proc hands out a page at a time."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    text = b""
    try:
        while part := os.read(file, 1 << 16):
            text += part
        return text
    except OSError:
        return b""
    finally:
        os.close(file)


def foreign() -> bool:
    """True if /proc is not there, or counts the processes of another name space.

    A process that we know by a number is another one there, or none.
    """
    try:
        return os.readlink("/proc/self") != str(os.getpid())
    except OSError:
        return True


def stat(path: str) -> tuple[str, list[str]] | None:
    """The name, and the fields that follow it: state first, numbered from 3 in proc(5)."""
    return parsed(read(path))


def stat_of_thread(folder: int, tid: str) -> tuple[str, list[str]] | None:
    """The same of a thread, by the open folder `task` of its process.

    There may be thousands of them. The kernel hands such a file out in one piece, and finds it
    sooner from a folder that is open.
    """
    try:
        file = os.open(f"{tid}/stat", os.O_RDONLY, dir_fd=folder)
    except OSError:
        return None
    try:
        return parsed(os.read(file, 4096), _THREAD_FIELDS)
    except OSError:
        return None
    finally:
        os.close(file)


def parsed(text: bytes, most: int = -1) -> tuple[str, list[str]] | None:
    """The name and the fields that follow it in a stat; `most`: that many, and then the rest."""
    # A name may hold spaces and parentheses: it ends at the last one.
    head, parenthesis, tail = text.rpartition(b")")
    if not parenthesis:
        return None
    fields = tail.decode("ascii").split(None, most)
    return head.partition(b"(")[2].decode("utf-8", "replace"), fields


def memory(pid: int, address: int, size: int) -> bytes:
    """Bytes of the memory of a process; fewer than `size`, or none, where they cannot be read.

    This takes the rights of a debugger, stops nothing and alters nothing.
    """
    try:
        file = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(file, size, address)
    except (OSError, OverflowError):
        return b""
    finally:
        os.close(file)


def numbers(folder: str) -> list[int]:
    """The entries of a folder that are numbers, such as processes, threads or open files."""
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except OSError:
        return []


def status(path: str) -> dict[bytes, bytes]:
    """The lines `Name: text` of a status file, by name."""
    lines = (line.partition(b":") for line in read(path).splitlines())
    return {name: text.strip() for name, _, text in lines}
