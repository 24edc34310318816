"""Owners of the RLocks that threads of CPython 3.10 to 3.13 wait for. Linux only.

Such a lock is a semaphore, which knows no owner; the Python object around it does. It is sought in
the memory of the process by the address of the semaphore, and believed by the name of its type.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Iterator

from harness.observe.linux import reading
from harness.observe.linux.mappings import Mapping
from harness.text import late

_PYTHON = late.compile(r"^(?:lib)?python3\.(\d+)")
_NEWEST = 13
"""3.14 has locks of another kind."""
_LARGEST, _MOST = 64 << 20, 128 << 20
"""Bytes of one mapping, and of all of them, that are searched at most: some 0.2 s."""
_LOCKS = 8
"""Addresses that are sought at a time, at most."""
_ENOUGH_S = 1.0
"""Once so much of the CPU went into searching one process, nothing more is sought in it."""
_OBJECT = struct.Struct("<qQQQQ")
"""References, type, semaphore, owner (the address of its thread's struct pthread) and depth."""
_NAME_PLACE, _RLOCK, _LOCK = 24, b"_thread.RLock", b"_thread.lock"
"""The place of the name's address in a type object, and two names. A lock has no owner."""
_PTHREAD = 0x800
"""Bytes of a struct pthread that are read; glibc 2.36 has the thread's number at 0x2d0."""
_HEAD = struct.Struct("<IIQ")
"""There: the number, another one, and the address of the list of robust mutexes that follows."""


class Finder:
    """Seeks each lock once, and asks what was found again at each further look."""

    def __init__(self) -> None:
        self._objects: dict[tuple[int, int], int | None] = {}
        """The address of the RLock, if it is one's, by process and address of the semaphore."""
        self._spent: dict[int, float] = {}
        """Seconds of the CPU for searching, by process."""

    def owners(self, pid: int, semaphores: set[int], mapped: Iterable[Mapping]) -> dict[int, int]:
        """The thread that holds each semaphore which is an RLock's, as the process numbers it."""
        mapped = list(mapped)
        if not semaphores or not _has_rlocks(mapped):
            return {}
        new = [one for one in sorted(semaphores) if (pid, one) not in self._objects][:_LOCKS]
        if new and self._spent.get(pid, 0.0) < _ENOUGH_S:
            began = time.thread_time()
            sought = _search(pid, new, mapped)
            self._spent[pid] = self._spent.get(pid, 0.0) + time.thread_time() - began
            self._objects |= {(pid, one): sought.get(one) for one in new}
        found = {}
        for semaphore in semaphores:
            address = self._objects.get((pid, semaphore))
            owner = None if address is None else _owner(pid, address, semaphore)
            if owner is not None:
                found[semaphore] = owner
        return found


def _has_rlocks(mapped: Iterable[Mapping]) -> bool:
    """Check whether it is a Python whose locks are as described."""
    versions = [
        int(found[1]) for one in mapped if (found := _PYTHON.match(os.path.basename(one.path)))
    ]
    return bool(versions) and max(versions) <= _NEWEST


def _search(pid: int, semaphores: list[int], mapped: Iterable[Mapping]) -> dict[int, int]:
    """The RLock object around each semaphore that has one, in memory that is its own."""
    if reading.status(f"/proc/{pid}/status").get(b"VmSwap", b"0").split()[0] != b"0":
        return {}  # to read what is swapped out would swap it in
    own = [one for one in mapped if one.anonymous and one.flags.startswith("rw-p")]
    sought = set(semaphores)
    found: dict[int, int] = {}
    left = _MOST
    for one in sorted(own, key=lambda one: one.end - one.start):
        size = one.end - one.start
        left -= size
        if not sought or size > _LARGEST or left < 0:
            break
        data = reading.memory(pid, one.start, size)
        for semaphore in tuple(sought):
            for place in _places(data, semaphore):
                name = _type(pid, one.start + place - 16)
                if name in (_RLOCK, _LOCK):
                    sought.discard(semaphore)
                    if name == _RLOCK:
                        found[semaphore] = one.start + place - 16
                    break
    return found


def _places(data: bytes, address: int) -> Iterator[int]:
    """The places of an address, as a pointer."""
    whole = struct.pack("<Q", address)
    # The zeros at its end are left out: where all is zero they would match at each byte.
    sought = whole.rstrip(b"\0")
    place = data.find(sought, 16)
    while place >= 0:
        if not place % 8 and data.startswith(whole, place):
            yield place
        place = data.find(sought, place + 1)


def _type(pid: int, address: int) -> bytes | None:
    """The name of the type of a Python object; None of what is none."""
    data = reading.memory(pid, address, 16)
    if len(data) < 16:
        return None
    references, type_ = struct.unpack("<qQ", data)
    if references <= 0 or not type_:
        return None
    name = int.from_bytes(reading.memory(pid, type_ + _NAME_PLACE, 8), "little")
    return reading.memory(pid, name, len(_RLOCK) + 1).partition(b"\0")[0] if name else None


def _owner(pid: int, address: int, semaphore: int) -> int | None:
    """The number of the thread that holds an RLock; None if it is held by none, or none now."""
    data = reading.memory(pid, address, _OBJECT.size)
    if len(data) < _OBJECT.size:
        return None
    _, _, lock, owner, depth = _OBJECT.unpack(data)
    if lock != semaphore or not owner or not depth or _type(pid, address) != _RLOCK:
        return None
    return _number(pid, owner)


def _number(pid: int, pthread: int) -> int | None:
    """The number of a thread by the address of its struct pthread; None when it is not found.

    Its place differs between versions of glibc. What follows it does not: the head of a list, whose
    address comes first.
    """
    data = reading.memory(pid, pthread, _PTHREAD)
    for place in range(0, len(data) - _HEAD.size, 8):
        number, _, robust = _HEAD.unpack_from(data, place)
        if number and robust == pthread + place + _HEAD.size:
            return int(number)
    return None
