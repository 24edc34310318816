"""Which process is meant: by its number, or by what it is called."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from harness.errors import UsageError
from harness.observe import process_names
from harness.text import invocation

_PF_KTHREAD = 0x00200000


def by_pid(pid: int) -> int:
    """`pid`, when it may be looked at. Raises UsageError when there is no such process of ours."""
    try:
        process = psutil.Process(pid)
        status, owner = process.status(), process.uids().real
    except psutil.NoSuchProcess:
        raise UsageError(f"there is no process {pid}") from None
    except psutil.AccessDenied:
        raise UsageError(f"process {pid} belongs to another user") from None
    if status == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
        raise UsageError(f"process {pid} has ended; its parent has not noticed yet")
    if os.geteuid() not in (0, owner):
        raise UsageError(f"process {pid} belongs to another user")
    if _is_kernels(pid):
        raise UsageError(f"process {pid} is a thread of the kernel, which cannot be looked into")
    if pid in _ours():
        raise UsageError(f"process {pid} is the harness itself, or has started it")
    return pid


def _is_kernels(pid: int) -> bool:
    try:
        flags = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6]
    except (OSError, IndexError):
        return False
    return bool(int(flags) & _PF_KTHREAD)


def by_name(pattern: str) -> int:
    """The one process of this user that `pattern` names: its program, script or module, or words
    of its command line if it names none.

    Of processes that descend from one another the uppermost is meant. Raises UsageError when there
    is none, or several, and then lists them.
    """
    if not pattern.strip():
        raise UsageError("an empty name is the name of no process")
    found = {
        process.pid: process.info["cmdline"]
        for process in psutil.process_iter(["cmdline", "uids", "name", "status"])
        if process.pid not in _ours()
        and process.info["uids"] is not None
        and process.info["uids"].real == os.geteuid()
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and process.info["cmdline"]
        and not _is_attach(process.info["cmdline"])
    }
    exact = [pid for pid, argv in found.items() if pattern in names(argv)]
    matching = exact or [pid for pid, argv in found.items() if pattern in " ".join(argv)]
    tops = _uppermost(matching)
    if not tops:
        raise UsageError(f"no process of yours is called {pattern}")
    if len(tops) > 1:
        listed = "".join(
            f"\n  {pid}  {' '.join(process_names.named(pid))}" for pid in sorted(tops)[:20]
        )
        raise UsageError(
            f"{len(tops)} processes are called {pattern}: give the number of one{listed}"
        )
    return tops[0]


def names(argv: Sequence[str]) -> set[str]:
    """What the program of a command line may be called: `mlx_lm.lora` is `python -m mlx_lm lora`
    as well."""
    kept = [word for word in process_names.words(argv) if word not in ("-m", "-c", "...")]
    found = {name for word in kept for name in (word, word.removesuffix(".py"))}
    if "-m" in argv and (after := list(argv[list(argv).index("-m") + 1 :])):
        module = after[0]
        found |= {module, module.rpartition(".")[2]}
        found |= {f"{module}.{word}" for word in after[1:2]}
    return found


def _is_attach(argv: Sequence[str]) -> bool:
    """Another `harness attach`, whose command line holds the same pattern."""
    return "attach" in argv and bool(
        {*invocation.SCRIPTS, "-m"} & {Path(word).name for word in argv}
    )


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
