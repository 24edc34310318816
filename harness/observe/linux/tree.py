"""Processes and their threads, and who descends from whom."""

from __future__ import annotations

import os
import platform
import re
from collections import deque
from collections.abc import Iterable

from harness import syscalls
from harness.model import Process, Thread
from harness.observe.linux import freezer, namespaces, reading, timeouts

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_ARCH = platform.machine()
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SWITCHES = re.compile(rb"^\w+_ctxt_switches:\s*(\d+)", re.MULTILINE)
_LISTED = "children"
_MANY = 64
"""Threads of a process from which on it may be quicker to ask all processes for their parents."""


def processes(roots: Iterable[int], deep: bool = False) -> tuple[Process, ...]:
    """`roots` and all that descends from them, each once, parents before children.

    `deep` adds what costs more: each thread's system call and context switches, and I/O.
    """
    return family(roots, deep)[0]


def family(roots: Iterable[int], deep: bool) -> tuple[tuple[Process, ...], tuple[int, ...]]:
    """The readable processes at and below `roots`, and the children that cannot be read.

    These have just gone, or are another user's, where /proc is mounted with `hidepid`.
    """
    found: dict[int, Process] = {}
    unseen: list[int] = []
    # What is listed and cannot be read forbids a proof, so a deep look asks each thread.
    children, groups = _Children(each=deep), freezer.Groups()
    asked = tuple(roots)
    todo = deque(asked)
    while todo:
        pid = todo.popleft()
        if pid in found:
            continue
        process = _process(pid, deep, groups)
        if process is not None:
            found[pid] = process
            todo += children.of(process)
        elif pid not in asked:
            unseen.append(pid)
    return tuple(found.values()), tuple(unseen)


def transfers(pid: int) -> dict[int, str]:
    """The call in which a thread waits with a part of its bytes moved, perhaps, by thread.

    What waits so for a disk cannot be interrupted: it is no longer in state S.
    """
    found = {}
    for thread in _threads(pid, deep=True, frozen=False):
        if thread.state == "S" and thread.syscall is not None:
            call = syscalls.transfer(thread.syscall, thread.args, _ARCH)
            if call is not None:
                found[thread.tid] = call
    return found


def _process(pid: int, deep: bool, groups: freezer.Groups) -> Process | None:
    stat = reading.stat(f"/proc/{pid}/stat")
    if stat is None:
        return None
    name, fields = stat
    frozen = groups.frozen(pid) is True
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
    """The state of a thread. One in a frozen control group is shown as asleep, and is stopped.

    One of the first version shows it as if it waited for a disk.
    """
    return "T" if frozen and shown in "RSD" else shown


def thread(pid: int, tid: int) -> Thread | None:
    """A deep look at one thread of a process; None where it has ended."""
    frozen = freezer.Groups().frozen(pid) is True
    return next(iter(_threads(pid, deep=True, frozen=frozen, only=str(tid))), None)


def _threads(pid: int, deep: bool, frozen: bool, only: str | None = None) -> tuple[Thread, ...]:
    try:
        task = os.open(f"/proc/{pid}/task", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return ()
    try:
        names = os.listdir(task) if only is None else [only]
        found = [_thread(pid, task, name, deep, frozen) for name in names]
    except OSError:
        return ()  # the process has ended
    finally:
        os.close(task)
    return tuple(one for one in found if one is not None)


def _thread(pid: int, task: int, name: str, deep: bool, frozen: bool) -> Thread | None:
    stat = reading.stat_of_thread(task, name)
    if stat is None:
        return None
    title, fields = stat
    folder = f"/proc/{pid}/task/{name}"
    call, arguments = _syscall(folder) if deep else (None, ())
    if call is not None:
        arguments = namespaces.awaited(pid, syscalls.name(call, _ARCH), arguments)
    return Thread(
        tid=int(name),
        name=title,
        state=_state(fields[0], frozen),
        cpu_s=(int(fields[11]) + int(fields[12])) * _TICK_S,
        system_s=int(fields[12]) * _TICK_S,
        syscall=call,
        args=arguments,
        switches=_switches(folder) if deep else None,
        wakes_in=None if call is None else timeouts.wakes_in(pid, call, arguments, _ARCH),
        wchan=_wchan(folder) if deep and fields[0] in "SD" else None,
    )


class _Children:
    """The descent of processes: as the kernel lists it, or, where it does not, from all
    processes."""

    def __init__(self, each: bool) -> None:
        """`each`: ask every thread for the children that it has started, however many there are."""
        self._each = each
        self._all: dict[int, list[int]] | None = None
        if not os.path.exists(f"/proc/self/task/{os.getpid()}/{_LISTED}"):
            self._all = _families()

    def of(self, process: Process) -> list[int]:
        many = not self._each and len(process.threads) > _MANY
        if self._all is None and many and len(reading.numbers("/proc")) < len(process.threads):
            self._all = _families()
        if self._all is not None:
            return self._all.get(process.pid, [])
        # Children are listed by the thread that started them.
        return [
            int(word)
            for thread in process.threads
            for word in reading.read(f"/proc/{process.pid}/task/{thread.tid}/{_LISTED}").split()
        ]


def _families() -> dict[int, list[int]]:
    """The children of every process, by its pid."""
    families: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        stat = reading.stat(f"/proc/{name}/stat") if name.isdigit() else None
        if stat is not None:
            families.setdefault(int(stat[1][1]), []).append(int(name))
    return families


def _syscall(folder: str) -> tuple[int | None, tuple[int, ...]]:
    """The call a thread is blocked in and its six arguments; -1 when blocked outside one.

    None of a program of 32 bits: its calls have numbers of their own. Its stack and its code are
    within the first 4 GiB, where those of others never both are.
    """
    words = reading.read(f"{folder}/syscall").split()
    if not words or words[0] == b"running":
        return None, ()
    if all(int(word, 16) < 1 << 32 for word in words[-2:]):
        return None, ()
    return int(words[0]), tuple(int(word, 16) for word in words[1:7])


def _wchan(folder: str) -> str | None:
    """The kernel function that a thread waits in; "" when it names none, None when it may not."""
    text = reading.read(f"{folder}/wchan")
    if not text:
        return None
    name = text.decode("ascii", "replace")
    return "" if name == "0" else name.partition(".")[0]


def _switches(folder: str) -> int | None:
    counts = _SWITCHES.findall(reading.read(f"{folder}/status"))
    return sum(map(int, counts)) if counts else None


def _io(path: str) -> int | None:
    lines = reading.read(path).splitlines()
    counts = [int(line.split()[1]) for line in lines if line.startswith((b"rchar", b"wchar"))]
    return sum(counts) if counts else None
