"""Stacks of a live process, taken from outside by whichever tool answers first: once, or twice.

`harness.stacks.tools` says what each tool does to the process while it looks.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.observe import platform
from harness.stacks import by_signal, joined, wait_site
from harness.stacks import tools as stacktools
from harness.stacks.parse import ThreadStack
from harness.stacks.tools import TIMEOUT_S, Attempt, Tool

PAUSE_S = 1.0
"""Between the two captures that show whether anything moves."""


class StackCapture(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a process. Nothing was seen when `tool` is None: `attempts` says why."""

    attempts: tuple[Attempt, ...]
    tool: str | None = None
    file: str | None = None
    threads: tuple[ThreadStack, ...] = ()


class StackEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Two looks at a process."""

    captures: tuple[StackCapture, ...]
    moved: bool | None = None
    """True if the threads that matter moved between the two; None when that was not seen."""
    waits: wait_site.Waits | None = None
    """The thing that it waits for, by the last look that saw anything."""


def capture(
    pid: int,
    folder: Path,
    tools: Sequence[Tool] | None = None,
    *,
    label: str = "1",
    timeout: float = TIMEOUT_S,
    faulthandler_file: Path | None = None,
    may_signal: bool = False,
    asks_by: int = signal.SIGUSR1,
    spare: bool = False,
    stop: threading.Event | None = None,
) -> StackCapture:
    """Try the tools of this platform in their order until one answers with a stack.

    A tool that cannot tell whether the main thread waits or runs is not the last that is tried.

    Its answer goes to FOLDER/<label>-<tool>.txt. As the last resort, and only when `may_signal`,
    the signal `asks_by` asks the faulthandler that writes to `faulthandler_file`. A tool that knows
    no Python is not the last either: its stacks are joined with those. Never raises for a tool that
    is missing, fails, crashes, floods or hangs: that is an Attempt with its reason. A process in
    the middle of a transfer is not stopped, nor is one, with `spare`, that was seen in one. Once
    `stop` is set, the tool that runs is ended, and no other is tried.
    """
    stop = stop or threading.Event()
    attempts: list[Attempt] = []
    partial: StackCapture | None = None
    for tool in stacktools.here() if tools is None else tools:
        if stop.is_set():
            break
        file = folder / f"{label}-{tool.name}.txt"
        attempt, threads = stacktools.attempt(tool, pid, file, timeout, spare, stop)
        attempts.append(attempt)
        if attempt.ok:
            taken = StackCapture(
                attempts=tuple(attempts), tool=tool.name, file=attempt.file, threads=threads
            )
            if not tool.knows_python:
                taken = _with_owners(taken, pid, folder, label, timeout, stop)
                if faulthandler_file is None or not may_signal or stop.is_set():
                    return taken
                return _with_python(
                    taken, pid, folder, label, faulthandler_file, asks_by, spare, stop
                )
            if not tool.stops or _tells(threads):
                return taken if partial is None else _instead(taken, partial, folder)
            partial = partial or taken
    if partial is not None:
        return msgspec.structs.replace(partial, attempts=tuple(attempts))
    if faulthandler_file is not None and may_signal and not stop.is_set():
        file = folder / f"{label}-faulthandler.txt"
        attempt, threads = by_signal.ask(pid, faulthandler_file, file, spare, stop, asks_by)
        attempts.append(attempt)
        if attempt.ok:
            return StackCapture(
                attempts=tuple(attempts), tool=attempt.tool, file=attempt.file, threads=threads
            )
    return StackCapture(attempts=tuple(attempts))


def _with_owners(
    taken: StackCapture, pid: int, folder: Path, label: str, timeout: float, stop: threading.Event
) -> StackCapture:
    """`taken` with the owners of what its threads wait for, where root asks and one is possible."""
    if not joined.may_have_owner(taken.threads) or stop.is_set() or not stacktools.tells_owners():
        return taken
    tool = stacktools.OWNERS
    file = folder / f"{label}-{tool.name}.txt"
    attempt, told = stacktools.attempt(tool, pid, file, timeout, stop=stop)
    return msgspec.structs.replace(
        taken,
        attempts=(*taken.attempts, attempt),
        threads=joined.owned(taken.threads, told) if attempt.ok else taken.threads,
    )


def _with_python(
    taken: StackCapture,
    pid: int,
    folder: Path,
    label: str,
    source: Path,
    number: int,
    spare: bool,
    stop: threading.Event,
) -> StackCapture:
    """`taken` with the lines of Python that the process tells of itself, where it does."""
    file = folder / f"{label}-faulthandler.txt"
    attempt, python = by_signal.ask(pid, source, file, spare, stop, number)
    handles = platform.current().pthreads(pid) if attempt.ok else {}
    return msgspec.structs.replace(
        taken,
        attempts=(*taken.attempts, attempt),
        threads=joined.joined(taken.threads, python, handles) if attempt.ok else taken.threads,
    )


def _tells(threads: Sequence[ThreadStack]) -> bool:
    """True if it can be told from `threads` whether the main thread waits or runs."""
    return all(one.native or one.running is not None for one in threads if one.main)


def _instead(taken: StackCapture, partial: StackCapture, folder: Path) -> StackCapture:
    """`taken`, without the answer `partial` of a tool before it: one process has one stack."""
    assert partial.file is not None
    (folder / partial.file).unlink(missing_ok=True)
    attempts = tuple(
        msgspec.structs.replace(one, ok=False, reason="no native frames", file=None)
        if one.file == partial.file
        else one
        for one in taken.attempts
    )
    return msgspec.structs.replace(taken, attempts=attempts)


def _answered(taken: StackCapture) -> bool:
    """True if faulthandler has told something."""
    return any(one.ok and one.tool == "faulthandler" for one in taken.attempts)


def capture_twice(
    pid: int,
    folder: Path,
    tools: Sequence[Tool] | None = None,
    *,
    pause_s: float = PAUSE_S,
    timeout: float = TIMEOUT_S,
    faulthandler_file: Path | None = None,
    may_signal: bool = False,
    asks_by: int = signal.SIGUSR1,
    stop: threading.Event | None = None,
) -> StackEvidence:
    """Look, wait for `pause_s` seconds, and look again with the tool that answered.

    Once `stop` is set, what has been seen by then is all.
    """
    stop = stop or threading.Event()
    tools = stacktools.here() if tools is None else tuple(tools)
    first = capture(
        pid,
        folder,
        tools,
        label="1",
        timeout=timeout,
        faulthandler_file=faulthandler_file,
        may_signal=may_signal,
        asks_by=asks_by,
        stop=stop,
    )
    if first.tool is None:
        return StackEvidence(captures=(first,))
    same = [tool for tool in tools if tool.name == first.tool]
    stop.wait(pause_s)
    second = capture(
        pid,
        folder,
        same,
        label="2",
        timeout=timeout,
        faulthandler_file=faulthandler_file if _answered(first) else None,
        may_signal=may_signal,
        asks_by=asks_by,
        stop=stop,
    )
    moved = None
    if second.tool is not None:
        moved = not wait_site.same_place(first.threads, second.threads)
    return StackEvidence(
        captures=(first, second),
        moved=moved,
        waits=wait_site.clearest(one.threads for one in (second, first)),
    )
