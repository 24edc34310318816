"""Which process is meant: by its number, or by what it is called. And how it may be named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from harness.errors import UsageError
from harness.text import invocation

_PYTHON = re.compile(r"^(python|pypy)[\d.]*$", re.IGNORECASE)
_PF_KTHREAD = 0x00200000
_TAKES_ONE = ("-X", "-W", "--check-hash-based-pycs")
"""Python's own options that take another word."""


def is_python(word: str) -> bool:
    """Whether this is a Python interpreter, by its name."""
    return _PYTHON.match(Path(word).name) is not None


def words(argv: Sequence[str], program: str = "") -> tuple[str, ...]:
    """What may be shown of a command line: the program, and the script or module it runs.

    All other arguments are left out, for they may hold what is nobody's business; "..." stands for
    them. `program` is the name to use where `argv` was overwritten by the process itself.
    """
    first = argv[0] if argv else program
    # A title that a process gave itself is one long word.
    name = Path(program if " " in first and program else first.split(" ")[0]).name or program
    kept = [name.lstrip("-") or "?"]
    rest = list(argv[1:])
    if is_python(name):
        while rest:
            word = rest.pop(0)
            if word == "-m" and rest:
                kept += ["-m", rest.pop(0)]
                break
            if word == "-c":
                kept.append("-c")
                break
            if word in _TAKES_ONE and rest:
                rest.pop(0)
            elif not word.startswith("-"):
                kept.append(Path(word).name)
                break
    return (*kept, "...") if rest else tuple(kept)


def named(pid: int) -> tuple[str, ...]:
    """The words for a process; empty when it has gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return words(process.cmdline(), process.name())
    except psutil.Error:
        return ()


def argv(pid: int) -> tuple[str, ...]:
    """The command line of a process; empty when it has gone."""
    try:
        return tuple(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ()


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
        listed = "".join(f"\n  {pid}  {' '.join(named(pid))}" for pid in sorted(tops)[:20])
        raise UsageError(
            f"{len(tops)} processes are called {pattern}: give the number of one{listed}"
        )
    return tops[0]


def names(argv: Sequence[str]) -> set[str]:
    """What the program of a command line may be called: `mlx_lm.lora` is `python -m mlx_lm lora`
    as well."""
    kept = [word for word in words(argv) if word not in ("-m", "-c", "...")]
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
