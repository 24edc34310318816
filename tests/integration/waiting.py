"""Programs that wait in a known way, started and ended for a test."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import syscalls
from harness.model import Process, Thread
from harness.observe import linux

ROOT = Path(__file__).parents[2]
ARCH = platform.machine()
SETTLE_S = 60.0


def compiled(name: str, folder: Path) -> str:
    """The program tests/victims/NAME.c."""
    if not shutil.which("gcc"):
        pytest.skip("there is no C compiler")
    program = folder / name
    source = ROOT / "tests" / "victims" / f"{name}.c"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Werror", "-pthread", source, "-o", program], check=True
    )
    return str(program)


@contextlib.contextmanager
def started(*command: str, **options) -> Iterator[tuple[subprocess.Popen, int]]:
    """A process in a group of its own, and the number that it prints once it is `ready`."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen(command, start_new_session=True, **given) as process:
        try:
            assert process.stdout is not None
            word, _, number = process.stdout.readline().partition(" ")
            assert word == "ready", process.wait(SETTLE_S)
            yield process, int(number)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def python(code: str, *arguments: str, version: str = sys.executable, **options):
    return started(version, "-c", code, *arguments, **options)


def settled(pid: int, *calls: str | None, wchan: str = "") -> tuple[tuple[Process, ...], Thread]:
    """The tree of a process, and its main thread, once that rests in one of these system calls.

    It rests if it has not moved between two looks: not in a futex for Python's own lock, which its
    waiter leaves every 5 ms. None stands for any call. `wchan`: the kernel's function that it is to
    wait in.
    """
    end = time.monotonic() + SETTLE_S
    switches = None
    while time.monotonic() < end:
        family = linux.processes([pid], deep=True)
        main = family[0].threads[0] if family and family[0].threads else None
        waits = main is not None and main.syscall is not None and main.state in "SD"
        if (
            waits
            and wchan in main.wchan
            and (None in calls or syscalls.name(main.syscall, ARCH) in calls)
        ):
            if main.switches == switches:
                return family, main
            switches = main.switches
        time.sleep(0.02)
    raise AssertionError(f"it came to no such call: {calls}")
