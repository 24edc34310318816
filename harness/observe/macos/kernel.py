"""The calls of macOS's libproc, sysctl and Mach: an answer, or None for what is refused or gone.

They ask about processes of one's own user, and need no root. task_for_pid is never called: it asks
for a debugger's rights. It has never run on a Mac (docs/internals/macos.md).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p, sizeof
from typing import TypeVar

from harness.observe.macos.layouts import (
    BsdInfo,
    FdInfo,
    PipeFdInfo,
    Rusage,
    SwapUsage,
    TaskAllInfo,
    ThreadInfo,
    Timebase,
    VmStatistics,
)
from harness.observe.macos.socket_layouts import FilePath, SocketFdInfo

Filled = TypeVar("Filled", bound=ctypes.Structure)

LIBPROC, LIBSYSTEM = "/usr/lib/libproc.dylib", "/usr/lib/libSystem.B.dylib"
_UID_ONLY, _PPID_ONLY = 4, 6
_LIST_FDS, _TASK_ALL, _BSD, _THREAD, _LIST_THREADS = 1, 2, 3, 5, 6
_THREAD_BY_ID, _LIST_THREAD_IDS = 15, 28
_PATH, _SOCKET, _PIPE = 2, 3, 6
_RUSAGE_V4 = 4
_VM_INFO64 = 4
TRANSLATED, OF_APPLE_SILICON_S = "sysctl.proc_translated", 125 / 3 / 1e9
_CTL_KERN, _PROCARGS2 = 1, 49
_ARG_MAX = 1 << 20
"""Bytes: more than that is an error of its own."""
_ROOMY = 256
"""Numbers of 32 bits: all that Mach's message has room for. A buffer that is too small for what a
later macOS tells is an error of its own."""
_MANY = 1024
_MOST_PIDS, _MOST_THREADS, _MOST_FILES = 1 << 17, 1 << 15, 1 << 20
"""More than a Mac has: who tells of more is not believed, and no memory is taken for it."""


_MOST_BYTES, _MOST_COUNTED = 1 << 44, 1 << 62
"""No Mac has so much memory, with what is compressed and swapped out, and none counts so far."""


def size(value: int) -> int | None:
    """Bytes of memory; None of more than a Mac has, which was not measured."""
    return int(value) if 0 <= value <= _MOST_BYTES else None


def count(value: int) -> int | None:
    """A counter of 64 bits; None of one that is further than any counts."""
    return int(value) if 0 <= value <= _MOST_COUNTED else None


listener: Callable[[str, Sequence[object], int], None] | None = None
"""Is told of each call: its name, its arguments, its answer."""


@functools.cache
def _library(path: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(path, use_errno=True)
    except OSError:
        return None


def _call(path: str, name: str, kinds: tuple[type, ...], *arguments: object) -> int | None:
    """The result of a function that returns an int; None where the system has no such function, or
    it cannot be called: whoever looks on at a training must not end with it."""
    found = _library(path)
    function = getattr(found, name, None) if found is not None else None
    if function is None:
        return None
    try:
        function.argtypes, function.restype = kinds, c_int
        answer = int(function(*arguments))
    except (ctypes.ArgumentError, ArithmeticError, OSError, TypeError, ValueError):
        return None
    if listener is not None:
        listener(name, arguments, answer)
    return answer


def _info(pid: int, flavor: int, argument: int, buffer: object, size: int) -> int:
    """Bytes that proc_pidinfo has filled in; 0 where it refuses."""
    kinds = (c_int, c_int, c_uint64, c_void_p, c_int)
    return _call(LIBPROC, "proc_pidinfo", kinds, pid, flavor, argument, buffer, size) or 0


def _filled(kind: type[Filled], pid: int, flavor: int, argument: int = 0) -> Filled | None:
    answer = kind()
    size = sizeof(answer)
    return answer if _info(pid, flavor, argument, byref(answer), size) == size else None


def task(pid: int) -> TaskAllInfo | None:
    """A process and its sums; None for one that has ended, too."""
    return _filled(TaskAllInfo, pid, _TASK_ALL)


def process(pid: int) -> BsdInfo | None:
    """A process, or one that has ended and that its parent has not noticed."""
    return _filled(BsdInfo, pid, _BSD, argument=1)


def children(pid: int) -> tuple[int, ...]:
    """The pids of the children of a process, and of those that it traces."""
    return _listed(_PPID_ONLY, pid)


def of_user(uid: int) -> tuple[int, ...]:
    """The pids of the processes of a user."""
    return _listed(_UID_ONLY, uid)


def of_same_user(pid: int) -> tuple[int, ...]:
    """The pids of the processes of the user that has `pid`."""
    its = task(pid)
    return () if its is None else of_user(its.pbsd.pbi_uid)


def _listed(kind: int, number: int) -> tuple[int, ...]:
    room = _MANY
    while True:
        buffer = (c_int * room)()
        kinds = (c_uint32, c_uint32, c_void_p, c_int)
        asked = (kind, number, byref(buffer), sizeof(buffer))
        found = (_call(LIBPROC, "proc_listpids", kinds, *asked) or 0) // sizeof(c_int)
        if found < room:
            return tuple(one for one in buffer[: max(found, 0)] if one > 0)
        room *= 4
        if room > _MOST_PIDS:
            return ()


def arguments(pid: int) -> bytes:
    """The arguments and variables of a process, as KERN_PROCARGS2 packs it: the number of its
    arguments, its program, padding, the arguments, the environment. Of a program that macOS
    protects, the environment is left out. Empty where it is refused."""
    names = (c_int * 3)(_CTL_KERN, _PROCARGS2, pid)
    buffer, size = ctypes.create_string_buffer(_ARG_MAX), c_size_t(_ARG_MAX)
    kinds = (c_void_p, c_uint32, c_void_p, c_void_p, c_void_p, c_size_t)
    asked = (byref(names), len(names), buffer, byref(size), None, 0)
    return buffer.raw[: size.value] if _call(LIBSYSTEM, "sysctl", kinds, *asked) == 0 else b""


def thread_ids(pid: int, about: int) -> tuple[tuple[int, ...], bool]:
    """The threads of a process, its oldest one first; False where these are no numbers but what
    only `thread` understands. `about`: how many there are."""
    found = _threads(pid, _LIST_THREAD_IDS, about)
    if found:
        return found, True
    held = handles(pid, about)
    return held, not held


def handles(pid: int, about: int) -> tuple[int, ...]:
    """The addresses at which the threads of a process keep their own data, in the same order."""
    return _threads(pid, _LIST_THREADS, about)


def _threads(pid: int, flavor: int, about: int) -> tuple[int, ...]:
    room = about + 32
    while room <= _MOST_THREADS:
        buffer = (c_uint64 * room)()
        found = _info(pid, flavor, 0, byref(buffer), sizeof(buffer)) // sizeof(c_uint64)
        if found < room:
            return tuple(buffer[: max(found, 0)])
        room *= 4
    return ()


def thread(pid: int, tid: int, number: bool) -> ThreadInfo | None:
    """One thread, as `thread_ids` has named it."""
    return _filled(ThreadInfo, pid, _THREAD_BY_ID if number else _THREAD, tid)


def rusage(pid: int) -> Rusage | None:
    """The memory and the transfers of a process."""
    answer = Rusage()
    kinds = (c_int, c_int, c_void_p)
    done = _call(LIBPROC, "proc_pid_rusage", kinds, pid, _RUSAGE_V4, byref(answer))
    return answer if done == 0 else None


def files(pid: int) -> tuple[tuple[int, int], ...]:
    """The open files of a process: number and type."""
    wanted = _info(pid, _LIST_FDS, 0, None, 0)
    if not 0 < wanted <= _MOST_FILES * sizeof(FdInfo):
        return ()
    buffer = (FdInfo * (wanted // sizeof(FdInfo) + 16))()
    found = _info(pid, _LIST_FDS, 0, byref(buffer), sizeof(buffer)) // sizeof(FdInfo)
    return tuple((one.proc_fd, one.proc_fdtype) for one in buffer[: max(found, 0)])


def pipe(pid: int, number: int) -> PipeFdInfo | None:
    """One end of a pipe that is open, and the number of its other end; 0 where that is closed."""
    return _opened(PipeFdInfo, pid, number, _PIPE)


def socket(pid: int, number: int) -> SocketFdInfo | None:
    """A socket that is open."""
    return _opened(SocketFdInfo, pid, number, _SOCKET)


def path(pid: int, number: int) -> FilePath | None:
    """A file that is open, with its path."""
    return _opened(FilePath, pid, number, _PATH)


def _opened(kind: type[Filled], pid: int, number: int, flavor: int) -> Filled | None:
    answer = kind()
    kinds = (c_int, c_int, c_int, c_void_p, c_int)
    size = sizeof(answer)
    asked = (pid, number, flavor, byref(answer), size)
    return answer if _call(LIBPROC, "proc_pidfdinfo", kinds, *asked) == size else None


@functools.cache
def tick_s() -> float | None:
    """Seconds in a Mach tick: 1 ns on Intel, 125/3 ns on Apple silicon.

    A Python for Intel that Rosetta translates is told Intel's. The kernel still counts in the ticks
    of the machine.
    """
    if number(TRANSLATED) == 1:
        return OF_APPLE_SILICON_S
    answer = Timebase()
    done = _call(LIBSYSTEM, "mach_timebase_info", (c_void_p,), byref(answer))
    if done != 0 or not answer.numer or not answer.denom:
        return None
    return float(answer.numer / answer.denom / 1e9)


@functools.cache
def _host() -> int | None:
    """The port of this machine. Each call of mach_host_self would take another right to it."""
    return _call(LIBSYSTEM, "mach_host_self", ())


def pages() -> VmStatistics | None:
    """The machine's pages now."""
    host = _host()
    if not host:
        return None
    buffer, count = (c_uint32 * _ROOMY)(), c_uint32(_ROOMY)
    kinds = (c_uint32, c_int, c_void_p, c_void_p)
    asked = (host, _VM_INFO64, byref(buffer), byref(count))
    if _call(LIBSYSTEM, "host_statistics64", kinds, *asked) != 0:
        return None
    if count.value * sizeof(c_uint32) < sizeof(VmStatistics):
        return None
    return VmStatistics.from_buffer_copy(buffer)


def swap() -> SwapUsage | None:
    """The swap files."""
    return _sysctl("vm.swapusage", SwapUsage())


def number(name: str) -> int | None:
    """A sysctl of one number of 32 bits."""
    answer = _sysctl(name, c_int())
    return None if answer is None else answer.value


def integer(name: str) -> int | None:
    """A sysctl of one number, of 32 or of 64 bits."""
    answer, size = c_uint64(), c_size_t(sizeof(c_uint64))
    kinds = (c_char_p, c_void_p, c_void_p, c_void_p, c_size_t)
    asked = (name.encode(), byref(answer), byref(size), None, 0)
    done = _call(LIBSYSTEM, "sysctlbyname", kinds, *asked)
    return answer.value if done == 0 and size.value in (4, 8) else None


Read = TypeVar("Read", c_int, SwapUsage)


def _sysctl(name: str, answer: Read) -> Read | None:
    size = c_size_t(sizeof(answer))
    kinds = (c_char_p, c_void_p, c_void_p, c_void_p, c_size_t)
    asked = (name.encode(), byref(answer), byref(size), None, 0)
    done = _call(LIBSYSTEM, "sysctlbyname", kinds, *asked)
    return answer if done == 0 and size.value == sizeof(answer) else None
