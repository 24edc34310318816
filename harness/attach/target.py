"""The choice of the process to look at: by its number, or by its name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from harness.errors import UsageError
from harness.observe import process_names
from harness.text import invocation

_PF_KTHREAD = 0x00200000
_PROGRAMS = frozenset(("supervise/guard.py", "linux/ask_timer.py"))
"""Files of ours that run as programs, with the folder that they are in."""


def by_pid(pid: int) -> int:
    """`pid`, when it may be looked at. Raises UsageError when there is no such process of ours."""
    try:
        process = psutil.Process(pid)
        status, owner = process.status(), process.uids().real
    except psutil.NoSuchProcess:
        raise UsageError(f"there is no process {pid}: give the PID of one that runs") from None
    except psutil.AccessDenied:
        raise UsageError(_foreign(pid)) from None
    if status == psutil.STATUS_ZOMBIE and _threads(process) <= 1:
        raise UsageError(f"process {pid} has ended; its parent has not noticed yet")
    if os.geteuid() not in (0, owner):
        raise UsageError(_foreign(pid))
    if _is_kernels(pid):
        raise UsageError(f"process {pid} is a thread of the kernel, which cannot be looked into")
    if pid in _ours():
        raise UsageError(f"process {pid} is the harness itself, or has started it")
    return pid


def _foreign(pid: int) -> str:
    return f"process {pid} belongs to another user: attach as that user, or as root"


def _threads(process: psutil.Process) -> int:
    """The number of threads of a process; 0 where it has ended, of which macOS tells none."""
    try:
        return process.num_threads()
    except psutil.Error:
        return 0


def _is_kernels(pid: int) -> bool:
    try:
        flags = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6]
    except (OSError, IndexError):
        return False
    return bool(int(flags) & _PF_KTHREAD)


def by_name(pattern: str) -> int:
    """The one process of this user that `pattern` names: its program, script or module, or words
    of its command line if it names none.

    Of processes that descend from one another the uppermost is meant. No process of a harness is
    meant, nor one that has words in common with a harness below it. Raises UsageError when there is
    none, or several, and then lists them.
    """
    if not pattern.strip():
        raise UsageError("give a name: no process has an empty one")
    ours, found, parents = _ours(), {}, {}
    for process in psutil.process_iter(["cmdline", "uids", "status", "ppid"]):
        argv, owner = process.info["cmdline"], process.info["uids"]
        parents[process.pid] = process.info["ppid"]
        if process.pid in ours or owner is None or owner.real != os.geteuid():
            continue
        if process.info["status"] != psutil.STATUS_ZOMBIE and argv:
            found[process.pid] = argv
    matching = matches(pattern, found, parents)
    tops = _uppermost(matching)
    if not tops:
        raise UsageError(f"no process of yours is called {pattern}: give its PID, as ps shows it")
    if len(tops) > 1:
        listed = "".join(
            f"\n  {pid}  {' '.join(process_names.named(pid))}" for pid in sorted(tops)[:20]
        )
        raise UsageError(f"{len(tops)} processes are called {pattern}: give the PID of one{listed}")
    return tops[0]


def matches(
    pattern: str, found: Mapping[int, Sequence[str]], parents: Mapping[int, int | None]
) -> list[int]:
    """The processes that `pattern` names, by their command lines and their parents. Pure."""
    own = {pid for pid, argv in found.items() if is_harness(argv)}
    others = {pid: argv for pid, argv in found.items() if pid not in own}
    exact = [pid for pid, argv in others.items() if pattern in process_names.names(argv)]
    if exact:
        return exact
    # What starts a harness, such as `timeout` or a shell, has the command's words on its own line.
    starts: set[int] = set()
    todo = list(own)
    while todo:
        above = parents.get(todo.pop())
        if above is not None and above not in starts:
            starts.add(above)
            todo.append(above)
    return [pid for pid, argv in others.items() if pid not in starts and pattern in " ".join(argv)]


def is_harness(argv: Sequence[str]) -> bool:
    """True if a command line is that of a harness, of its guard or of another program of its own.

    A worker is none: it trains.
    """
    first, rest = argv[0], list(argv[1:])
    if Path(first).name in invocation.SCRIPTS:
        return True
    if not process_names.is_python(first):
        return False
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        del rest[: 1 + (rest[0] in process_names.TAKES_ONE)]
    if len(rest) > 1 and rest[0] == "-m":
        return rest[1].partition(".")[0] in invocation.MODULES
    if not rest or rest[0] == "-c":
        return False
    script = Path(rest[0])
    return script.name in invocation.SCRIPTS or f"{script.parent.name}/{script.name}" in _PROGRAMS


def _ours() -> set[int]:
    """This process and those that it descends from."""
    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}


def _uppermost(pids: Iterable[int]) -> list[int]:
    matching = set(pids)
    tops = []
    for pid in matching:
        try:
            above = {parent.pid for parent in psutil.Process(pid).parents()}
        except psutil.Error:
            continue
        if not above & matching:
            tops.append(pid)
    return tops
