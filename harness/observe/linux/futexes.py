"""Futexes that threads wait in, and who could wake them. Linux only.

The words at a futex are read from the memory of the process. They are what glibc and the kernel
write there; what they do not tell is not guessed.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable
from typing import NamedTuple

import msgspec

from harness import syscalls
from harness.model import Process, Thread
from harness.model.world import Futex, FutexKind
from harness.observe.linux import mounts, namespaces, reading, rlocks
from harness.observe.linux.file_table import FileTable
from harness.observe.linux.mappings import Mapping, Sharing, at, mappings, same_memory

_WAIT, _LOCK_PI, _WAIT_BITSET, _LOCK_PI2 = 0, 6, 9, 13
_COMMAND, _PRIVATE = 0x7F, 0x80
_TID, _WAITERS = 0x3FFFFFFF, 0x80000000
"""Parts of the word of a futex that the kernel knows the owner of."""
_LOCKED = 2
"""The word of a mutex that is locked, and for which somebody waits."""
_KINDS = 0x400
"""The kind of a mutex is below it: its type, and bits for robust, shared and the like."""
_WORDS = struct.Struct("<8I")
_VECTOR = struct.Struct("<QQII")
_MOST = 128
"""Futexes of one futex_waitv, at most, as the kernel has it."""


class Wait(NamedTuple):
    """One futex, as the arguments of a system call name it."""

    address: int
    command: int
    private: bool
    """True if the call says so. A wait that does not may still be for memory of its own."""
    value: int


class Waits(NamedTuple):
    of: list[Wait]
    vector: bool
    """True if the first of several is waited for."""


Mapped = list[Mapping]


class Futexes:
    """Futexes of several processes and looks. An RLock that was found once is not sought again.

    The tables of who maps what are those of one look: `look` makes them anew.
    """

    def __init__(self, arch: str) -> None:
        self._arch = arch
        self._sharing = Sharing(FileTable())
        self._rlocks = rlocks.Finder()

    def look(self, table: FileTable) -> None:
        """Begin a new look: who has what is read again when it is asked."""
        self._sharing = Sharing(table)

    def of(self, process: Process) -> dict[int, Futex]:
        """The futexes that the threads of `process` wait in, by thread."""
        waits = {
            thread.tid: one
            for thread in process.threads
            if (one := _waits(process.pid, thread, self._arch))
        }
        if not waits:
            return {}
        mapped = mappings(process.pid)
        own, complete = self._own(process)
        reader = _Reader(process, mapped, own, complete, self._sharing)
        found = {
            tid: reader.vector(each.of) if each.vector else reader.futex(each.of[0], tid)
            for tid, each in waits.items()
        }
        self._name_rlocks(process, waits, found, mapped)
        return found

    def _own(self, process: Process) -> tuple[tuple[int, ...], bool]:
        """The processes that have its very memory, as far as its parent tells; and whether it does.

        Of all others `mappings.sharers` tells for the whole tree.
        """
        if process.ppid <= 1:
            return (process.pid,), True
        same = same_memory(process.pid, process.ppid, self._arch)
        return (process.pid, process.ppid) if same else (process.pid,), same is not None

    def _name_rlocks(
        self, process: Process, waits: dict[int, Waits], found: dict[int, Futex], mapped: Mapped
    ) -> None:
        """Say in `found` which semaphores are those of Python's RLocks, and who holds these."""
        sought = {
            tid: each.of[0].address
            for tid, each in waits.items()
            if found[tid].kind == "private" and each.of[0].private and each.of[0].value == 0
        }
        owners = self._rlocks.owners(process.pid, set(sought.values()), mapped)
        tids = _numbers(process.pid, (thread.tid for thread in process.threads)) if owners else {}
        for tid, address in sought.items():
            owner = tids.get(owners.get(address, 0))
            if owner is not None:
                found[tid] = msgspec.structs.replace(found[tid], kind="rlock", owner=owner)


def decide(
    wait: Wait, words: tuple[int, ...], threads: Container[int], shared: bool
) -> tuple[FutexKind, int | None]:
    """The kind of a futex, and the number of its owner as the process itself knows it.

    `words`: what lies there, eight of them or none. `threads`: the process's own, by the same
    numbers. `shared`: whether it lies in memory that other processes may map.
    """
    unknown: FutexKind = "shared" if shared else "private"
    if not words:
        return ("pi_mutex" if wait.command in (_LOCK_PI, _LOCK_PI2) else unknown), None
    word, _, owner, users, kind = words[:5]
    if wait.command in (_LOCK_PI, _LOCK_PI2):
        return "pi_mutex", word & _TID or None
    if wait.command not in (_WAIT, _WAIT_BITSET):
        return unknown, None
    if wait.value == word == _LOCKED:
        # A mutex, if a thread is its owner. Other processes' threads may be that of a shared one.
        if owner and 0 < users < 1 << 20 and kind < _KINDS and (shared or owner in threads):
            return "mutex", owner
        return unknown, None
    if wait.private:
        return unknown, None
    holder = word & _TID
    if wait.value & _WAITERS and holder and owner == holder:
        return "robust", holder
    if not shared and word == wait.value and word in threads:
        return "join", word
    return unknown, None


class _Reader:
    """Reads the futexes of one process at one moment."""

    def __init__(
        self,
        process: Process,
        mapped: Mapped,
        own: tuple[int, ...],
        complete: bool,
        sharing: Sharing,
    ) -> None:
        self._pid = process.pid
        self._mapped = mapped
        self._own = own
        self._complete = complete and bool(mapped)
        self._sharing = sharing
        self._tids = _numbers(process.pid, (thread.tid for thread in process.threads))
        self._remote = mounts.remote_devices(process.pid)

    def futex(self, wait: Wait, tid: int) -> Futex:
        mapping = at(self._mapped, wait.address)
        shared = not wait.private and mapping is not None and not mapping.private
        kind, inner = decide(wait, self._words(wait.address, mapping), self._tids, shared)
        sharers, complete = self._own, self._complete
        if mapping is not None and shared:
            sharers, complete = self._sharing.of(mapping, self._pid)
        elif mapping is None and not wait.private:
            complete = False
        owner = None if inner is None else self._owner(inner, sharers if shared else ())
        if shared and kind == "mutex" and owner is None:
            kind = "shared"  # who has locked it is gone, or not seen: anybody may unlock it
        return Futex(
            kind=kind,
            owner=owner,
            sharers=sharers,
            complete=complete,
        )

    def vector(self, waits: list[Wait]) -> Futex:
        each = [self.futex(wait, 0) for wait in waits]
        return Futex(
            kind="vector",
            sharers=tuple(dict.fromkeys(pid for one in each for pid in one.sharers)),
            complete=bool(each) and all(one.complete for one in each),
        )

    def _words(self, address: int, mapping: Mapping | None) -> tuple[int, ...]:
        if mapping is not None and mapping.device in self._remote:
            return ()  # to read it might wait for a server that does not answer
        # It may lie less than eight words before the end of what can be read.
        data = reading.memory(self._pid, address, _WORDS.size)
        return _WORDS.unpack(data.ljust(_WORDS.size, b"\0")) if len(data) >= 4 else ()

    def _owner(self, inner: int, sharers: tuple[int, ...]) -> int | None:
        """Our number of a thread; None when it is none that can be seen, or could be several."""
        if inner in self._tids:
            return self._tids[inner]
        others = [
            number
            for pid in sharers
            if pid != self._pid
            and (number := _numbers(pid, reading.numbers(f"/proc/{pid}/task")).get(inner))
        ]
        return others[0] if len(others) == 1 else None


def _waits(pid: int, thread: Thread, arch: str) -> Waits | None:
    if thread.state not in "SD" or thread.syscall is None or len(thread.args) < 6:
        return None
    name = syscalls.name(thread.syscall, arch)
    args = thread.args
    if name == "restart_syscall" and (thread.wchan or "").startswith(("futex_", "rt_mutex_")):
        name = "futex"  # a stop has interrupted a wait with a timeout, which goes on so
    if name == "futex":
        command = args[1] & _COMMAND
        one = Wait(args[0], command, bool(args[1] & _PRIVATE), args[2] & 0xFFFFFFFF)
        return Waits([one], False)
    if name == "futex_wait":
        one = Wait(args[0], _WAIT, bool(args[3] & _PRIVATE), args[1] & 0xFFFFFFFF)
        return Waits([one], False)
    if name == "futex_waitv":
        size = _VECTOR.size * min(args[1], _MOST)
        data = reading.memory(pid, args[0], size)
        whole = len(data) - len(data) % _VECTOR.size
        each = [
            Wait(address, _WAIT, bool(flags & _PRIVATE), value & 0xFFFFFFFF)
            for value, address, flags, _ in _VECTOR.iter_unpack(data[:whole])
        ]
        return Waits(each, True)
    return None


def _numbers(pid: int, tids: Iterable[int]) -> dict[int, int]:
    """Our numbers of a process's threads by those that it has in its own PID namespace."""
    if len(namespaces.inner(f"/proc/{pid}/status")) < 2:
        return {tid: tid for tid in tids}
    found = {}
    for tid in tids:
        numbers = namespaces.inner(f"/proc/{pid}/task/{tid}/status")
        if numbers:
            found[numbers[-1]] = tid
    return found
