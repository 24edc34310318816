"""The stack of a process that crashed, read once it is dead: from its core, or the system's report.

A core is read by gdb, which knows the lines of a program with debug information. It is told to load
no scripts, and to print no values. systemd-coredump has read the stack itself, and keeps it in the
journal. So has macOS, which writes a report of each crash.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from harness.model.death import CrashStack
from harness.observe import run_tool
from harness.observe.linux import kernel_log
from harness.observe.witness import Core
from harness.stacks.parse import Frame, gdb
from harness.stacks.parse.frames import UNKNOWN, native
from harness.text import late

TIMEOUT_S = 20.0
"""For gdb and one core."""
JOURNAL_S = 5.0
"""The journal has a crash some time after it: systemd reads its stack first."""
_PAUSE_S = 0.5
_FRAMES = 64
_MOST = 16
"""Frames that are kept."""
_VALUE = late.compile(r"^\$(\d) = (?:\(.*?\) )?(0x[0-9a-f]+|-?\d+)", re.MULTILINE)
_MAPPED, _ALLOWED, _BY_ZERO = 1, 2, 1
"""The codes of a SIGSEGV for an address that is not mapped, or not allowed, and of a SIGFPE for a
division (sigaction(2))."""
_HANDLER = "<signal handler called>"
"""The line of gdb between a handler and what it interrupted. It is no function."""
_SIGNAL = late.compile(r"terminated with signal (SIG\w+)")
_BLOCK = late.compile(r"^ +PID: (\d+)", re.MULTILINE)
_OF_THREAD = late.compile(r"Stack trace of thread \d+:\n((?: *#\d+ .*\n?)+)")
_JOURNAL_FRAME = late.compile(r"#\d+ +0x[0-9a-f]+ (\S.*?) \((\S+?)(?: \+ (0x[0-9a-f]+))?\)$")


def can_read() -> bool:
    """True if there is a tool that reads cores."""
    return shutil.which("gdb") is not None


def command(core: Core) -> list[str]:
    """The words that make gdb print the stack of the thread that crashed."""
    return [
        *("gdb", "-batch", "-nx", "-iex", "set auto-load off"),
        *("-iex", "set print frame-arguments none"),
        *("-ex", "p $_siginfo.si_code", "-ex", "p $_siginfo._sifields._sigfault.si_addr"),
        *("-ex", "p $sp", "-ex", f"thread apply 1 bt {_FRAMES}"),
        *(core.program, str(core.file)),
    ]


def of_core(core: Core, saved: Path) -> CrashStack:
    """Ask gdb, and save its answer to `saved`. Never raises."""
    try:
        answer = run_tool.run(command(core), TIMEOUT_S)
        saved.parent.mkdir(parents=True, exist_ok=True)
        saved.write_text(answer.output, encoding="utf-8")
    except OSError as error:
        return CrashStack(why_not=f"gdb failed: {error.strerror or error}")
    found = read(answer.output, Path(core.program).name)
    if found.frames:
        return found
    return CrashStack(why_not=f"gdb found no frames: {answer.problem or 'the core is not whole'}")


def read(text: str, program: str = "") -> CrashStack:
    """The answer of gdb to `command`. Pure.

    `program` names the file of a function that has no line: gdb names libraries alone.
    """
    threads = gdb.parse(text, 0)
    if not threads:
        return CrashStack()
    frames = [
        msgspec.structs.replace(frame, file=frame.file or program or None)
        for frame in threads[0].frames
        if frame.function != _HANDLER
    ]
    return CrashStack(
        frames=shown(frames),
        place=place(frames),
        fault=_fault(text),
        source="core",
    )


def _fault(text: str) -> str:
    values = {int(number): int(value, 0) for number, value in _VALUE.findall(text)}
    code, address, stack = (values.get(number) for number in (1, 2, 3))
    signal = _SIGNAL.search(text)
    if signal is None or code is None:
        return ""
    if signal[1] == "SIGFPE" and code == _BY_ZERO:
        return "it divided an integer by zero"
    if signal[1] != "SIGSEGV" or code not in (_MAPPED, _ALLOWED):
        return ""
    return "" if address is None or stack is None else kernel_log.fault(address, stack)


def of_journal(pids: Iterable[int], wait_s: float = JOURNAL_S) -> CrashStack:
    """Ask systemd's `coredumpctl` for the first of `pids` that it knows. Never raises."""
    wanted = list(pids)
    until = time.monotonic() + wait_s
    while True:
        try:
            told = ["coredumpctl", "info", "--no-pager", *map(str, wanted)]
            answer = run_tool.run(told, TIMEOUT_S)
        except OSError:
            return CrashStack(why_not="systemd has the core, and coredumpctl is not installed")
        found = read_journal(answer.output, wanted)
        if found.frames:
            return found
        if time.monotonic() >= until:
            return CrashStack(why_not="systemd-coredump has no stack of it (coredumpctl info)")
        time.sleep(_PAUSE_S)


def read_journal(text: str, pids: Sequence[int]) -> CrashStack:
    """The answer of `coredumpctl info` about one of `pids`, the newest first there. Pure."""
    ends = [match.start() for match in _BLOCK.finditer(text)] + [len(text)]
    for start, end in reversed(list(pairwise(ends))):
        block = text[start:end]
        pid, stack = _BLOCK.match(block), _OF_THREAD.search(block)
        if pid is None or stack is None or int(pid[1]) not in pids:
            continue
        lines = [_JOURNAL_FRAME.search(each.strip()) for each in stack[1].splitlines()]
        frames = [_journal_frame(match) for match in lines if match]
        return CrashStack(
            frames=shown(frames),
            place=place(frames),
            source="systemd-coredump",
        )
    return CrashStack()


def read_report(text: str) -> CrashStack:
    """macOS's report of a crash: its second document. Pure."""
    try:
        report = json.loads(text)
        images = [str(image.get("name", "")) for image in report["usedImages"]]
        threads = report["threads"]
        crashed = next(one for one in threads if one.get("triggered"))
        frames = [_report_frame(frame, images) for frame in crashed["frames"]]
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return CrashStack(why_not="the report of macOS cannot be read")
    return CrashStack(frames=shown(frames), place=place(frames), source="macos")


def _report_frame(told: dict[str, Any], images: Sequence[str]) -> Frame:
    index, offset = told.get("imageIndex"), told.get("imageOffset")
    image = images[index] if isinstance(index, int) and 0 <= index < len(images) else ""
    symbol, line = told.get("symbol"), told.get("sourceLine")
    at = f"{image}+{offset:#x}" if isinstance(offset, int) and not symbol else image
    file = told.get("sourceFile")
    return native(
        symbol if isinstance(symbol, str) else UNKNOWN,
        file if isinstance(file, str) else None,
        line if isinstance(line, int) else None,
        at or None,
    )


def _journal_frame(match: re.Match[str]) -> Frame:
    at = f"{match[2]}+{match[3]}" if match[3] else match[2]
    return native(UNKNOWN if match[1] == "n/a" else match[1], None, None, at)


def shown(frames: Sequence[Frame]) -> tuple[str, ...]:
    """The frames as people read them, from the last system function before the user's own on."""
    own = next((at for at, frame in enumerate(frames) if not frame.system), 1)
    return tuple(map(line, frames[max(0, own - 1) :][:_MOST]))


def line(frame: Frame) -> str:
    """A frame as people read it: `update (trainer.cpp:12)`, `abort (libc.so.6)`."""
    if frame.module_offset:
        return frame.module_offset
    if not frame.file:
        return frame.bare
    return f"{frame.bare} ({frame.file}{f':{frame.line}' if frame.line else ''})"


def place(frames: Sequence[Frame]) -> str:
    """The user's own frame that is innermost; else that of a package; else the innermost."""
    own = [frame for frame in frames if not (frame.system or frame.package)]
    named = [frame for frame in own if frame.function != UNKNOWN]
    packages = [frame for frame in frames if not frame.system]
    chosen = (named or own or packages or list(frames))[:1]
    return next(map(_told, chosen), "")


def _told(frame: Frame) -> str:
    if frame.file and frame.line:
        return f"{frame.file}:{frame.line} in {frame.bare}"
    if frame.module_offset:
        return frame.module_offset
    if frame.function == UNKNOWN:
        return f"a function without a name in {frame.file}" if frame.file else ""
    return f"{frame.bare} in {frame.file}" if frame.file else frame.bare
