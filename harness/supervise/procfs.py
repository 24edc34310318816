"""Processes and threads as /proc shows them, on Linux. Nothing here needs more than one's own user.

What cannot be read is None, and a process that has gone is left out: nothing here raises. A look
reads a small file for each process and thread; benchmarks/run_all.py shows what it costs.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import signal
import stat as modes
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from harness import syscalls
from harness.model import Machine, Process, Thread
from harness.proof import Surroundings, World
from harness.supervise import timeouts

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_MACHINE = platform.machine()
_PAGE = os.sysconf("SC_PAGE_SIZE")
_GPUS = ("/dev/nvidia", "/dev/dri", "/dev/kfd", "/dev/accel", "/dev/infiniband")
_MEMORY, _VIRTUAL_TERMINALS, _SPECIAL_TERMINALS, _PSEUDO_TERMINALS = 1, 4, 5, range(136, 144)
_HARMLESS = frozenset(
    # null, zero, full, random, urandom; tty, console, ptmx
    [(_MEMORY, minor) for minor in (3, 5, 7, 8, 9)]
    + [(_SPECIAL_TERMINALS, minor) for minor in (0, 1, 2)]
)
"""Character devices, by their numbers, that wake only who waits for them in a call of its own."""
_TERMINALS = ("/dev/pts/", "/dev/tty", "/dev/console")
_ASYNCHRONOUS = ("anon_inode:[io_uring]",)
_ADDR_NO_RANDOMIZE = 0x0040000
_O_ASYNC = 0o20000
_CALLED = (signal.SIGIO, signal.SIGURG)
"""Signals that a file sends to its owner, which the kernel does not show. The owner need not be who
has the file open. Without a handler SIGURG does nothing."""
_LISTED = "children"
_TIMERS = "timers"
_START_OF_STACK = 25
"""Its place among a stat's fields after the name. The address is drawn anew at each exec."""


def processes(roots: Iterable[int], deep: bool = False) -> tuple[Process, ...]:
    """`roots` and all that descends from them, each once, parents before children.

    `deep` adds what costs more: each thread's system call and context switches, and I/O.
    """
    found: dict[int, Process] = {}
    children = _Children()
    todo = deque(roots)
    while todo:
        pid = todo.popleft()
        if pid in found:
            continue
        process = _process(pid, deep)
        if process is not None:
            found[pid] = process
            todo += children.of(process)
    return tuple(found.values())


def machine(whole: bool) -> Machine:
    """Memory that can be had without swapping, and swap in use; `whole`: the rest of it, too."""
    values = _sizes("/proc/meminfo", (b"MemAvailable", b"SwapTotal", b"SwapFree", b"Zswap"))
    total, free = values.get(b"SwapTotal"), values.get(b"SwapFree")
    found = Machine(
        available=values.get(b"MemAvailable"),
        swap_used=None if total is None or free is None else total - free,
    )
    if not whole:
        return found
    compressed = [*_zram(), *([values[b"Zswap"]] if b"Zswap" in values else [])]
    return msgspec.structs.replace(
        found, compressed=sum(compressed) if compressed else None, pressure=_pressure()
    )


def held(pids: Iterable[int]) -> tuple[int | None, int | None]:
    """(memory of their own in RAM or swap, that in swap) of these processes, in bytes."""
    footprint = swapped = None
    for pid in pids:
        own = _sizes(f"/proc/{pid}/status", (b"RssAnon", b"RssShmem", b"VmSwap"))
        if len(own) == 3:  # a kernel before 4.5 does not tell them apart; a zombie has none
            footprint = (footprint or 0) + sum(own.values())
            swapped = (swapped or 0) + own[b"VmSwap"]
    return footprint, swapped


def _sizes(path: str, names: tuple[bytes, ...]) -> dict[bytes, int]:
    """The lines `Name: N kB` with these names, in bytes."""
    lines = (line.partition(b":") for line in _read(path).splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if name in names}


def _zram() -> Iterator[int]:
    """The memory that each compressed block device takes: the third figure of its mm_stat."""
    for path in Path("/sys/block").glob("zram*/mm_stat"):
        figures = _read(str(path)).split()
        if len(figures) > 2:
            yield int(figures[2])


def _pressure() -> float | None:
    """Percent of the last 10 s in which some task waited for memory."""
    found = re.search(rb"some avg10=([\d.]+)", _read("/proc/pressure/memory"))
    return float(found[1]) if found else None


def oom_kills() -> int:
    """Since the machine started; 0 on a kernel before 4.13, which does not count them."""
    for line in _read("/proc/vmstat").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def _process(pid: int, deep: bool) -> Process | None:
    stat = _stat(f"/proc/{pid}/stat")
    if stat is None:
        return None
    name, fields = stat
    frozen = _frozen(pid)
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        name=name,
        state=_state(fields[0], frozen),
        cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S,
        rss=int(fields[21]) * _PAGE,
        major_faults=int(fields[9]),
        io_bytes=_io(f"/proc/{pid}/io"),
        io_main=_io(f"/proc/{pid}/task/{pid}/io"),
        threads=_threads(pid, deep, frozen),
    )


def _state(shown: str, frozen: bool) -> str:
    """What a frozen control group holds is shown as asleep, and is stopped."""
    return "T" if frozen and shown in "RS" else shown


def _frozen(pid: int) -> bool:
    """Whether its control group (the second version's) is frozen, as a paused container's is."""
    mount = _unified()
    if mount is None:
        return False
    for line in _read(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith(b"0::"):
            path = os.fsdecode(mount + line[3:].rstrip(b"/"))
            return b"frozen 1" in _read(f"{path}/cgroup.events")
    return False


@functools.cache
def _unified() -> bytes | None:
    """Where the second version of control groups is mounted, if it is."""
    for line in _read("/proc/self/mountinfo").splitlines():
        place, _, kind = line.partition(b" - ")
        if kind.startswith(b"cgroup2 "):
            return place.split()[4]
    return None


def _threads(pid: int, deep: bool, frozen: bool) -> tuple[Thread, ...]:
    try:
        names = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return ()
    threads = []
    for name in names:
        folder = f"/proc/{pid}/task/{name}"
        stat = _stat(f"{folder}/stat")
        if stat is None:
            continue
        title, fields = stat
        call, arguments = _syscall(folder) if deep else (None, ())
        threads.append(
            Thread(
                tid=int(name),
                name=title,
                state=_state(fields[0], frozen),
                cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S,
                syscall=call,
                args=arguments,
                switches=_switches(folder) if deep else None,
                wakes_in=None
                if call is None
                else timeouts.wakes_in(pid, call, arguments, _MACHINE),
            )
        )
    return tuple(threads)


def transfers(pid: int) -> dict[int, str]:
    """By thread, the call that it waits in with a part of its bytes moved, perhaps.

    What waits so for a disk cannot be interrupted: it is no longer in state S.
    """
    found = {}
    for thread in _threads(pid, deep=True, frozen=False):
        if thread.state == "S" and thread.syscall is not None:
            call = syscalls.transfer(thread.syscall, thread.args, _MACHINE)
            if call is not None:
                found[thread.tid] = call
    return found


def _stat(path: str) -> tuple[str, list[str]] | None:
    """The name, and the fields that follow it: state first, numbered from 3 in proc(5)."""
    text = _read(path)
    # A name may hold spaces and parentheses: it ends at the last one.
    head, parenthesis, tail = text.rpartition(b")")
    if not parenthesis:
        return None
    return head.partition(b"(")[2].decode("utf-8", "replace"), tail.decode("ascii").split()


class _Children:
    """Who descends from whom: as the kernel lists it, or, where it does not, from all processes."""

    def __init__(self) -> None:
        self._all: dict[int, list[int]] | None = None
        if not os.path.exists(f"/proc/self/task/{os.getpid()}/{_LISTED}"):
            self._all = _families()

    def of(self, process: Process) -> list[int]:
        if self._all is not None:
            return self._all.get(process.pid, [])
        # Children are listed by the thread that started them.
        return [
            int(word)
            for thread in process.threads
            for word in _read(f"/proc/{process.pid}/task/{thread.tid}/{_LISTED}").split()
        ]


def _families() -> dict[int, list[int]]:
    """The children of every process, by its pid."""
    families: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        stat = _stat(f"/proc/{name}/stat") if name.isdigit() else None
        if stat is not None:
            families.setdefault(int(stat[1][1]), []).append(int(name))
    return families


def _syscall(folder: str) -> tuple[int | None, tuple[int, ...]]:
    """The call a thread is blocked in and its six arguments; -1 when blocked outside one."""
    words = _read(f"{folder}/syscall").split()
    if not words or words[0] == b"running":
        return None, ()
    return int(words[0]), tuple(int(word, 16) for word in words[1:7])


def _switches(folder: str) -> int | None:
    counts = [
        int(line.split()[1])
        for line in _read(f"{folder}/status").splitlines()
        if b"ctxt_switches" in line
    ]
    return sum(counts) if counts else None


def _io(path: str) -> int | None:
    lines = _read(path).splitlines()
    counts = [int(line.split()[1]) for line in lines if line.startswith((b"rchar", b"wchar"))]
    return sum(counts) if counts else None


def _read(path: str) -> bytes:
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


def world(pid: int, guard: int | None = None) -> World:
    """A deep look at a whole tree: what a proof of deadlock is made from.

    `guard` adopts what is orphaned in the tree of `pid`; it is no part of that itself.
    """
    roots = [pid] if guard is None else [pid, guard]
    found = tuple(one for one in processes(roots, deep=True) if one.pid != guard)
    stacks = {process.pid: _start_of_stack(process.pid) for process in found}
    return World(
        t=time.monotonic(),
        processes=found,
        surroundings={
            # A child whose stack begins where its parent's does was forked and has not called exec.
            process.pid: _surroundings(
                process.pid,
                process.ppid in stacks
                and (stacks[process.ppid] != stacks[process.pid] or _not_random(process.pid)),
            )
            for process in found
        },
    )


def _not_random(pid: int) -> bool:
    """Whether its addresses are not drawn at random, so that they tell nothing of an exec."""
    personality = _read(f"/proc/{pid}/personality") or b"0"
    fixed = _read("/proc/sys/kernel/randomize_va_space").strip() == b"0"
    return fixed or bool(int(personality, 16) & _ADDR_NO_RANDOMIZE)


def _start_of_stack(pid: int) -> str | None:
    stat = _stat(f"/proc/{pid}/stat")
    return stat and stat[1][_START_OF_STACK]


def _surroundings(pid: int, executed: bool) -> Surroundings:
    status = {
        line.partition(b":")[0]: line.partition(b":")[2].split()
        for line in _read(f"/proc/{pid}/status").splitlines()
    }
    devices, asynchronous = _files(pid)
    if asynchronous is not None:
        asynchronous += _called(status)
    return Surroundings(
        tracer=int(status[b"TracerPid"][0]) if b"TracerPid" in status else None,
        pending=_pending(status),
        alarm=_alarm(status, executed),
        timers=_timers(pid, status),
        devices=devices,
        asynchronous=asynchronous,
    )


def _pending(status: dict[bytes, list[bytes]]) -> bool | None:
    """Whether a signal waits that the main thread does not block; it stands for its process."""
    try:
        blocked, ours, shared = (int(status[n][0], 16) for n in (b"SigBlk", b"SigPnd", b"ShdPnd"))
    except (KeyError, IndexError):
        return None
    return bool((ours | shared) & ~blocked)


def _alarm(status: dict[bytes, list[bytes]], executed: bool) -> bool | None:
    """Whether an interval timer may be armed that would end a wait.

    Without a handler it ends its process, which wakes a parent that waits. A fork disarms it and an
    exec does not: `perl -e 'alarm 9; exec ...'` is how some limit a command's time.
    """
    caught = _has(status, b"SigCgt", signal.SIGALRM)
    ignored = _has(status, b"SigIgn", signal.SIGALRM)
    if caught is None or ignored is None:
        return None
    return caught or (executed and not ignored)


def _has(status: dict[bytes, list[bytes]], mask: bytes, number: int) -> bool | None:
    if mask not in status:
        return None
    return bool(int(status[mask][0], 16) >> (number - 1) & 1)


def _called(status: dict[bytes, list[bytes]]) -> tuple[str, ...]:
    """Handlers for signals that a file may send to its owner, of which nothing else can be seen."""
    return tuple(f"a handler for {one.name}" for one in _CALLED if _has(status, b"SigCgt", one))


def _timers(pid: int, status: dict[bytes, list[bytes]]) -> int | None:
    """POSIX timers; None when nobody can say.

    A kernel built without CONFIG_CHECKPOINT_RESTORE does not list them. But each timer holds one of
    the signals that its user may have queued, so where none is held there is no timer.
    """
    try:
        with open(f"/proc/{pid}/{_TIMERS}", "rb") as file:
            return file.read().count(b"ID:")
    except FileNotFoundError:
        held = status.get(b"SigQ", [b""])[0].partition(b"/")[0]
        return 0 if held == b"0" else None
    except OSError:
        return None


def _files(pid: int) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
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
            mode, numbers = _kind_of(f"{folder}/{name}")
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


def _harmless(numbers: tuple[int, int]) -> bool:
    major, _ = numbers
    return numbers in _HARMLESS or major == _VIRTUAL_TERMINALS or major in _PSEUDO_TERMINALS


_AT_FDCWD, _AT_STATX_DONT_SYNC, _STATX_TYPE = -100, 0x4000, 1
_MODE, _NUMBERS = slice(28, 30), slice(128, 136)
_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)


def _kind_of(path: str) -> tuple[int, tuple[int, int]]:
    """The type of a file, as in its mode, and the numbers of a device.

    Of a file on a server that does not answer, stat would wait for it: this does not ask.
    """
    if _statx is None:
        found = os.stat(path)
        return found.st_mode, (os.major(found.st_rdev), os.minor(found.st_rdev))
    buffer = ctypes.create_string_buffer(256)
    if _statx(_AT_FDCWD, os.fsencode(path), _AT_STATX_DONT_SYNC, _STATX_TYPE, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    (mode,) = struct.unpack("=H", buffer.raw[_MODE])
    major, minor = struct.unpack("=II", buffer.raw[_NUMBERS])
    return mode, (major, minor)


def devices(pid: int) -> tuple[str, ...]:
    """Open GPUs and their like; empty too when that cannot be read."""
    return tuple(one for one in _files(pid)[0] or () if one.startswith(_GPUS))


def _signals(pid: int, name: str) -> bool:
    """Whether a file was asked to raise signals: by O_ASYNC, or by a lease, which others break."""
    for line in _read(f"/proc/{pid}/fdinfo/{name}").splitlines():
        if line.startswith(b"flags:") and int(line.split()[1], 8) & _O_ASYNC:
            return True
        if line.startswith(b"lock:") and (b" LEASE " in line or b" DELEG " in line):
            return True
    return False


def at_prompt(process: Process, machine: str) -> bool:
    """Whether a thread reads from a terminal, or does nothing but wait until it can.

    What a `select` or `poll` of a single file waits for is taken to be the input.
    """
    for thread in process.threads:
        call = None if thread.syscall is None else syscalls.name(thread.syscall, machine)
        if call in ("read", "readv"):
            file = thread.args[0]
        elif (call in ("select", "pselect6") and thread.args[0] == 1) or (
            call in ("poll", "ppoll") and thread.args[1] == 1
        ):
            file = 0
        else:
            continue
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{process.pid}/fd/{file}").startswith(_TERMINALS):
                return True
    return False


def open_files(pid: int) -> dict[str, int]:
    """How many files a process has open, by kind; empty when that cannot be read."""
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


def _kind(target: str) -> str:
    """socket, pipe, eventfd, eventpoll, device, file, ..."""
    if target.startswith("/"):
        return "device" if target.startswith("/dev/") else "file"
    return target.removeprefix("anon_inode:").partition(":")[0].strip("[]")
