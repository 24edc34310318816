"""The files that a process has open: which of them work on their own, and which is its terminal."""

from __future__ import annotations

import ctypes
import os
import stat as modes
import struct

from harness.observe.linux import reading

_GPUS = ("/dev/nvidia", "/dev/dri", "/dev/kfd", "/dev/accel", "/dev/infiniband")
_MEMORY, _VIRTUAL_TERMINALS, _SPECIAL_TERMINALS, _PSEUDO_TERMINALS = 1, 4, 5, range(136, 144)
_HARMLESS = frozenset(
    # null, zero, full, random, urandom; tty, console, ptmx
    [(_MEMORY, minor) for minor in (3, 5, 7, 8, 9)]
    + [(_SPECIAL_TERMINALS, minor) for minor in (0, 1, 2)]
)
"""Character devices, by their numbers, that wake only who waits for them in a call of its own."""
_ASYNCHRONOUS = ("anon_inode:[io_uring]", "anon_inode:[userfaultfd]")
"""The second supplies pages of memory, for which a futex call waits as well, from wherever."""
_COMPLETES = (
    (b"anon_inode:[io_uring]", "an io_uring, whose rings are mapped"),
    (b"/[aio]", "asynchronous input and output (io_setup), which may signal an eventfd"),
)
"""Mappings that outlive their file, or have none."""
_O_ASYNC = 0o20000
_AT_FDCWD, _AT_STATX_DONT_SYNC, _STATX_TYPE, _STATX_INODE = -100, 0x4000, 1, 0x100
_MODE, _INODE, _NUMBERS = slice(28, 30), slice(32, 40), slice(128, 136)
_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)


def devices(pid: int) -> tuple[str, ...]:
    """Open GPUs and their like; empty too when that cannot be read."""
    return tuple(one for one in working_alone(pid)[0] or () if one.startswith(_GPUS))


def open_files(pid: int) -> dict[str, int]:
    """The number of files that a process has open, by kind; empty when that cannot be read."""
    counts: dict[str, int] = {}
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return counts
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
        except OSError:
            continue
        counts[_kind(target)] = counts.get(_kind(target), 0) + 1
    return counts


def working_alone(pid: int) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Open files that work on their own: devices, and those that raise signals or complete."""
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return None, None
    devices, asynchronous = set(), set()
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
            mode, numbers = kind_of(f"{folder}/{name}")
        except FileNotFoundError:
            continue  # closed since they were listed
        except OSError:
            return None, None
        told = target.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if modes.S_ISBLK(mode) or (modes.S_ISCHR(mode) and not _harmless(numbers)):
            devices.add(told)
        if modes.S_ISDIR(mode):
            # It may tell of its changes (dnotify), by any signal: the kernel does not show it.
            asynchronous.add(f"the folder {told} open, which may signal its changes")
        elif target.startswith(_ASYNCHRONOUS) or _signals(pid, name):
            asynchronous.add(f"{told} open, which can signal or complete by itself")
    return tuple(sorted(devices)), tuple(sorted(asynchronous))


def completing(pid: int) -> tuple[str, ...] | None:
    """What the memory of a process shows that completes by itself; None when it cannot be read.

    An io_uring works on when its file is closed, as a context of io_setup does, which has none.
    """
    text = reading.read(f"/proc/{pid}/maps")
    return tuple(told for mark, told in _COMPLETES if mark in text) if text else None


def _harmless(numbers: tuple[int, int]) -> bool:
    major, _ = numbers
    return numbers in _HARMLESS or major == _VIRTUAL_TERMINALS or major in _PSEUDO_TERMINALS


def kind_of(path: str) -> tuple[int, tuple[int, int]]:
    """The type of a file, as in its mode, and the numbers of a device.

    Of a file on a server that does not answer, stat would wait for it: this does not ask.
    """
    if _statx is None:
        found = os.stat(path)
        return found.st_mode, (os.major(found.st_rdev), os.minor(found.st_rdev))
    answer = _ask(path)
    (mode,) = struct.unpack("=H", answer[_MODE])
    major, minor = struct.unpack("=II", answer[_NUMBERS])
    return mode, (major, minor)


def inode_of(path: str) -> int:
    """The inode's number of a file; does not ask a server for it."""
    return os.stat(path).st_ino if _statx is None else struct.unpack("=Q", _ask(path)[_INODE])[0]


def _ask(path: str) -> bytes:
    assert _statx is not None
    buffer = ctypes.create_string_buffer(256)
    wanted = _STATX_TYPE | _STATX_INODE
    if _statx(_AT_FDCWD, os.fsencode(path), _AT_STATX_DONT_SYNC, wanted, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw


def _signals(pid: int, name: str) -> bool:
    """True if a file was asked to raise signals: by O_ASYNC, or by a lease, which others break."""
    for line in reading.read(f"/proc/{pid}/fdinfo/{name}").splitlines():
        if line.startswith(b"flags:") and int(line.split()[1], 8) & _O_ASYNC:
            return True
        if line.startswith(b"lock:") and (b" LEASE " in line or b" DELEG " in line):
            return True
    return False


def _kind(target: str) -> str:
    """socket, pipe, eventfd, eventpoll, device, file, ..."""
    if target.startswith("/"):
        return "device" if target.startswith("/dev/") else "file"
    return target.removeprefix("anon_inode:").partition(":")[0].strip("[]")
