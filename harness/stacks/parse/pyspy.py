"""`py-spy dump`, with or without `--native`: innermost frame first.

The answer is asked for as JSON, which has whole paths and says who holds the GIL, also of a thread
that waits in native code. What is saved of it is text in the form of py-spy's own, for people and
for the reports. Only threads that Python knows are in it, and native frames from the first one that
is not of the interpreter's loop.
"""

from __future__ import annotations

import re

import msgspec

from harness.stacks.parse.frames import UNKNOWN, Frame, Gil, ThreadStack, native, python
from harness.text import late

_THREAD = late.compile(r"Thread (0x[0-9A-Fa-f]+|\d+) \((.*?)\)(?:: \"(.*)\")?$")
_FRAME = late.compile(r"    (\S.*) \(((?:[^()]|\([^()]*\))+?)(?::(\d+))?\)$")
_ADDRESS = late.compile(r"0x[0-9a-f]+$")
_PYTHON = late.compile(r"(\.pyx?|^<.*>)$")


class _JsonFrame(msgspec.Struct):
    name: str
    filename: str
    line: int = 0


class _JsonThread(msgspec.Struct):
    thread_id: int
    frames: list[_JsonFrame]
    pid: int = 0
    os_thread_id: int | None = None
    thread_name: str | None = None
    active: bool = False
    owns_gil: bool = False


def text_of(answer: str) -> str:
    """The text of an answer in JSON: what `parse` reads. Empty for what is no such answer."""
    try:
        threads = msgspec.json.decode(answer, type=list[_JsonThread])
    except msgspec.DecodeError:
        return ""
    threads.sort(key=lambda thread: thread.os_thread_id or thread.thread_id)
    lines = [f"Process {threads[0].pid}"] if threads else []
    for thread in threads:
        status = ("active" if thread.active else "idle") + "+gil" * thread.owns_gil
        name = f': "{thread.thread_name}"' if thread.thread_name else ""
        lines.append(f"Thread {thread.os_thread_id or hex(thread.thread_id)} ({status}){name}")
        lines += [
            f"    {frame.name} ({frame.filename}{f':{frame.line}' if frame.line else ''})"
            for frame in thread.frames
        ]
    return "".join(" ".join(line.splitlines()) + "\n" for line in lines)


def parse(text: str, pid: int) -> tuple[ThreadStack, ...]:
    threads: list[tuple[re.Match[str], list[Frame]]] = []
    for line in text.splitlines():
        if header := _THREAD.match(line):
            threads.append((header, []))
        elif threads and (match := _FRAME.match(line)):
            threads[-1][1].append(_frame(match))
    any_native = any(not frame.python for _, frames in threads for frame in frames)
    return tuple(_thread(header, frames, pid, any_native) for header, frames in threads)


def _frame(match: re.Match[str]) -> Frame:
    function, file, number = match[1], match[2], int(match[3] or 0) or None
    if _PYTHON.search(file):
        return python(function, file, number)
    name = UNKNOWN if _ADDRESS.match(function) else function
    return native(name, file if number else None, number, None if number else file)


def _thread(header: re.Match[str], frames: list[Frame], pid: int, any_native: bool) -> ThreadStack:
    tid, status, name = int(header[1], 0), header[2], header[3] or ""
    return ThreadStack(
        frames=tuple(frames),
        tid=tid,
        name=name,
        main=tid == pid or name == "MainThread",
        running=status.startswith("active"),
        native=any_native,
        gil=Gil.HOLDS if "gil" in status else None,
    )
