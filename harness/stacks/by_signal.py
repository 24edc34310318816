"""Stacks by the faulthandler inside a process, which writes them to a file at a signal."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

from harness.inject.inside import variables
from harness.observe import run_tool
from harness.observe.threads import within
from harness.stacks import tools
from harness.stacks.parse import ThreadStack, parse
from harness.stacks.tools import Attempt
from harness.text.units import duration

SIGNAL_TIMEOUT_S = 2.0
_ANSWERS = re.compile(rb'answering\.py", line \d+ in rests$', re.MULTILINE)
_READ_S = 1.0
"""Seconds at most to read the answer, on top of that."""


def ask(
    pid: int,
    source: Path,
    file: Path,
    spare: bool,
    stop: threading.Event,
    number: int = signal.SIGUSR1,
) -> tuple[Attempt, tuple[ThreadStack, ...]]:
    """Ask the faulthandler inside the process by the signal `number`; it appends to `source`."""
    began = time.monotonic()
    threads: tuple[ThreadStack, ...] = ()
    reason = ""
    # Another signal is taken by a thread of its own, and ends no call of any other.
    if harm := (tools.harm(pid) or tools.SPARED * spare) if number == signal.SIGUSR1 else "":
        reason = harm
    elif tools.is_stopped(pid):
        reason = "the process is stopped and would not answer"
    elif _ignores_or_dies(pid, number):
        reason = f"{signal.Signals(number).name} is not handled there: it would kill the process"
    else:
        try:
            # The file may lie in a file system that does not answer.
            limit = SIGNAL_TIMEOUT_S + _READ_S
            text = within(limit, lambda: _signaled(pid, source, stop, number), "")
            threads = parse("faulthandler", text, pid)
            reason = "" if threads else f"no answer in {duration(SIGNAL_TIMEOUT_S)}"
            if threads:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        except OSError as error:
            reason = str(error.strerror or error)
    attempt = Attempt(
        tool="faulthandler",
        ok=not reason,
        seconds=time.monotonic() - began,
        reason=reason,
        file=None if reason else file.name,
    )
    return attempt, threads if not reason else ()


def _signaled(pid: int, source: Path, stop: threading.Event, number: int) -> str:
    """The text that is appended to `source` after the signal, once it has stopped growing."""
    start = before = source.stat().st_size
    os.kill(pid, number)
    end = time.monotonic() + SIGNAL_TIMEOUT_S
    while time.monotonic() < end and not stop.wait(0.05):
        size = source.stat().st_size
        if size == before > start and not _goes_on(source, start):
            break
        before = size
    with source.open("rb") as written:
        written.seek(start)
        return written.read(run_tool.LIMIT).decode("utf-8", "replace")


def _goes_on(source: Path, start: int) -> bool:
    """True if a thread of its own answers there, and has not told the variables yet."""
    with source.open("rb") as written:
        written.seek(start)
        text = written.read(run_tool.LIMIT)
    return _ANSWERS.search(text) is not None and variables.END.encode() not in text


def _ignores_or_dies(pid: int, number: int) -> bool:
    """Check whether /proc says that the process has no handler of the signal; False where it cannot
    say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.M)
    return caught is not None and not int(caught[1], 16) >> (number - 1) & 1
