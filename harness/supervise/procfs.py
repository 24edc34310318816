"""Processes and threads as /proc shows them, on Linux. Nothing here needs more than one's own user.

What cannot be read is None, and a process that has gone is left out: nothing here raises. A look
reads a small file for each process and thread; benchmarks/run_all.py shows what it costs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from harness.model import Machine, Process, Thread

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def processes(roots: Iterable[int], deep: bool = False) -> tuple[Process, ...]:
    """`roots` and all that descends from them, each once, parents before children.

    `deep` adds what costs more: each thread's system call and context switches, and I/O.
    """
    found: dict[int, Process] = {}
    todo = list(roots)
    while todo:
        pid = todo.pop(0)
        if pid in found:
            continue
        process = _process(pid, deep)
        if process is not None:
            found[pid] = process
            todo += _children(process)
    return tuple(found.values())


def machine() -> Machine:
    """Memory that can be had without swapping, and swap in use."""
    values: dict[bytes, int] = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, rest = line.partition(b":")
        if name in (b"MemAvailable", b"SwapTotal", b"SwapFree"):
            values[name] = int(rest.split()[0]) * 1024
    total, free = values.get(b"SwapTotal"), values.get(b"SwapFree")
    return Machine(
        available=values.get(b"MemAvailable"),
        swap_used=None if total is None or free is None else total - free,
    )


def _process(pid: int, deep: bool) -> Process | None:
    stat = _stat(f"/proc/{pid}/stat")
    if stat is None:
        return None
    name, fields = stat
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        name=name,
        state=fields[0],
        cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S,
        rss=int(fields[21]) * _PAGE,
        major_faults=int(fields[9]),
        io_bytes=_io(pid) if deep else None,
        threads=_threads(pid, deep),
    )


def _threads(pid: int, deep: bool) -> tuple[Thread, ...]:
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
                state=fields[0],
                cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S,
                syscall=call,
                args=arguments,
                switches=_switches(folder) if deep else None,
            )
        )
    return tuple(threads)


def _stat(path: str) -> tuple[str, list[str]] | None:
    """The name, and the fields that follow it: state first, numbered from 3 in proc(5)."""
    text = _read(path)
    # A name may hold spaces and parentheses: it ends at the last one.
    head, parenthesis, tail = text.rpartition(b")")
    if not parenthesis:
        return None
    return head.partition(b"(")[2].decode("utf-8", "replace"), tail.decode("ascii").split()


def _children(process: Process) -> list[int]:
    """Children are listed by the thread that started them."""
    found = []
    for thread in process.threads:
        text = _read(f"/proc/{process.pid}/task/{thread.tid}/children")
        found += [int(word) for word in text.split()]
    return found


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


def _io(pid: int) -> int | None:
    lines = _read(f"/proc/{pid}/io").splitlines()
    counts = [int(line.split()[1]) for line in lines if line.startswith((b"rchar", b"wchar"))]
    return sum(counts) if counts else None


def _read(path: str) -> bytes:
    """The whole of a small file; empty when it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(file, 1 << 16)
    except OSError:
        return b""
    finally:
        os.close(file)
