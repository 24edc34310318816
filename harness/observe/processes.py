"""Processes and memory of this machine, on whichever platform it has."""

from __future__ import annotations

from collections.abc import Iterable

from harness.model import Machine, Process, Sample
from harness.observe import platform


def check() -> None:
    """Raise UsageError where processes cannot be told apart, and so neither watched nor ended."""
    platform.current().check()


def processes(pid: int, also: Iterable[int] = (), deep: bool = False) -> tuple[Process, ...]:
    """`pid` first, then all that descends from it or from a process of `also`."""
    return platform.current().processes((pid, *also), deep)


def machine(whole: bool = False) -> Machine:
    """The whole machine's memory; `whole`: also what takes longer to find out."""
    return platform.current().machine(whole)


def held(pids: Iterable[int]) -> tuple[int | None, int | None]:
    """(memory of their own in RAM, compressed or swapped; that swapped out), each if known."""
    return platform.current().held(pids)


def unread(sample: Sample) -> dict[str, str]:
    """The reason why the figures of memory that `sample` lacks could not be read, by their name."""
    reasons = platform.current().unread
    return {name: why for name, why in reasons.items() if getattr(sample, name) is None}


def oom_kills() -> int:
    """The number of kills by the out-of-memory killer on this machine; 0 where nobody counts."""
    return platform.current().oom_kills()
