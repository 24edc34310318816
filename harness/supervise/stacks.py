"""Stacks of a live process, taken from outside by whichever tool answers first.

pystack and gdb attach by ptrace: they stop the process for as long as they read it and let it go
on; py-spy reads its memory and, without `--nonblocking`, pauses it likewise. None of them runs
code inside it. A process that is stopped by a signal stays stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

TIMEOUT_S = 10.0
LIMIT = 4 << 20
"""Bytes of a tool's output that are kept."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A program that prints the stacks of a process."""

    name: str
    command: tuple[str, ...]
    """With `{pid}` where the process goes."""
    only_on: str | None = None
    """The `sys.platform` it exists on; None for all."""


TOOLS = (
    Tool(
        name="pystack",
        command=(sys.executable, "-m", "pystack", "remote", "--native-all", "{pid}"),
        only_on="linux",
    ),
    Tool(name="sample", command=("sample", "{pid}", "1", "-mayDie"), only_on="darwin"),
    Tool(name="py-spy", command=("py-spy", "dump", "--pid", "{pid}")),
    Tool(
        name="gdb",
        command=("gdb", "-p", "{pid}", "-batch", "-nx", "-ex", "thread apply all bt"),
        only_on="linux",
    ),
)  # fmt: skip


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one tool."""

    tool: str
    ok: bool
    seconds: float
    reason: str = ""
    """Why it failed, in one line."""
    file: str | None = None
    """Name of the file its output was written to."""


class ToolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a tool can be used here."""

    name: str
    ok: bool
    reason: str = ""


def capture(
    pid: int,
    folder: Path,
    label: str,
    tools: Sequence[Tool] = TOOLS,
    timeout: float = TIMEOUT_S,
) -> tuple[Attempt, ...]:
    """Try `tools` in their order until one answers; its output goes to FOLDER/<label>-<tool>.txt.

    Never raises for a tool that is missing, fails, or hangs: that is an Attempt with its reason.
    """
    attempts = []
    for tool in tools:
        if tool.only_on not in (None, sys.platform):
            continue
        attempts.append(_attempt(tool, pid, folder / f"{label}-{tool.name}.txt", timeout))
        if attempts[-1].ok:
            break
    return tuple(attempts)


def _attempt(tool: Tool, pid: int, file: Path, timeout: float) -> Attempt:
    began = time.monotonic()

    def failed(reason: str) -> Attempt:
        return Attempt(tool=tool.name, ok=False, seconds=time.monotonic() - began, reason=reason)

    program = _program(tool.command[0])
    if program is None:
        return failed("not installed")
    command = [program, *(part.format(pid=pid) for part in tool.command[1:])]
    try:
        code, output, errors = _run(command, timeout)
    except subprocess.TimeoutExpired:
        return failed(f"no answer in {timeout:.0f} s")
    except OSError as error:
        return failed(str(error.strerror or error))
    if code != 0 or not output.strip():
        lines = (errors or output).decode("utf-8", "replace").strip().splitlines()
        return failed(lines[-1][:300] if lines else f"exit code {code}, no output")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(output)
    except OSError as error:
        return failed(f"cannot write {file.name}: {error.strerror}")
    return Attempt(tool=tool.name, ok=True, seconds=time.monotonic() - began, file=file.name)


def _program(name: str) -> str | None:
    """The program on the path, or beside our own interpreter (a venv that is not active)."""
    beside = Path(sys.executable).parent / name
    return shutil.which(name) or (str(beside) if os.access(beside, os.X_OK) else None)


def _run(command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
    """Run a tool in a session of its own, and end all of it when it does not answer."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, output[:LIMIT], errors[:LIMIT]


def available() -> tuple[ToolStatus, ...]:
    """Which tools can be used here, each tried on a process of our own."""
    here = [tool for tool in TOOLS if tool.only_on in (None, sys.platform)]
    with _sleeper() as pid:
        return tuple(_status(tool, pid) for tool in here)


def _status(tool: Tool, pid: int) -> ToolStatus:
    program = _program(tool.command[0])
    if program is None:
        return ToolStatus(name=tool.name, ok=False, reason="not installed")
    try:
        code, output, errors = _run(
            [program, *(part.format(pid=pid) for part in tool.command[1:])], TIMEOUT_S
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        return ToolStatus(name=tool.name, ok=False, reason=type(error).__name__)
    if code == 0 and output.strip():
        return ToolStatus(name=tool.name, ok=True)
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return ToolStatus(name=tool.name, ok=False, reason=lines[-1] if lines else f"exit code {code}")


@contextlib.contextmanager
def _sleeper() -> Iterator[int]:
    """A Python process that sleeps, for the tools to be tried on."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
