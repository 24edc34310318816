"""The tools that take stacks from outside, and how one is asked.

What each does to the process while it looks (seen with strace on Linux):

- pystack attaches to each thread by PTRACE_ATTACH: all of it stands still for about 0.1 s.
- py-spy `--native` attaches by PTRACE_SEIZE and PTRACE_INTERRUPT: some 20 ms. It fails on a process
  that a signal has stopped. With `--nonblocking` it only reads memory, and stops nothing.
- gdb attaches by PTRACE_ATTACH: half a second to two seconds.
- macOS `sample` suspends the task for each of its looks; py-spy there needs root.
- faulthandler answers a signal inside the process (`by_signal`): only when it is known to be
  registered.

None of them runs code inside it but the last. A process that a signal has stopped stays stopped. A
tool that dies in the middle of PTRACE_ATTACH can leave a process stopped for good: that is undone
here. A system call that is interrupted in this way is restarted by the kernel, but for a few with a
timeout (epoll_wait, recv on a socket with SO_RCVTIMEO) which may return EINTR, and for one that has
moved a part of its bytes: a `write` of a megabyte to a full pipe then returns 65536, and a program
that does not expect that goes on with the rest lost. So a process in such a call is never stopped,
nor signaled: only what reads its memory looks at it, and the kernel says which call it is in.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import msgspec
import psutil

from harness.observe import platform, run_tool
from harness.observe import threads as run_threads
from harness.stacks import modules, stopping
from harness.stacks.parse import Frame, ThreadStack, parse, pyspy

TIMEOUT_S = 10.0
"""The time limit for one tool, in seconds."""
MAPPINGS = "code.maps"
"""Name of the file beside the stacks with the code that the process has mapped."""
_MAPPINGS_S = 1.0
"""The time limit for reading that: a process that holds its memory's lock makes a reader wait."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A program that prints the stacks of a process."""

    name: str
    command: tuple[str, ...]
    """The command line, with `{pid}` where the process goes, and `{file}` if the tool itself writes
    its answer."""
    parser: str
    """The parser of `harness.stacks.parse` that reads the text."""
    text_of: Callable[[str], str] = str
    """Make text, for people and for the parser, of an answer in another form."""
    only_on: str | None = None
    """The `sys.platform` it exists on; None for all."""
    sees_stopped: bool = True
    """True if it can look at a process that a signal has stopped; else it is not let near one."""
    stops: bool = True
    """True if the process stands still while it looks, as its system calls may notice."""
    knows_python: bool = True
    """False of one that shows the functions of the interpreter, and not those of Python."""
    slow_s: float = 0.0
    """The time that it is given at least: one that looks up names may need long for the first."""


TOOLS = (
    Tool(
        name="pystack",
        command=(sys.executable, "-m", "pystack", "remote", "--no-color", "--native-all", "{pid}"),
        parser="pystack",
        only_on="linux",
    ),
    Tool(
        name="sample",
        # For 1 s every 50 ms: some 20 looks. It suspends the Mach task for each of them, which no
        # system call notices.
        command=("sample", "{pid}", "1", "50", "-mayDie", "-file", "{file}"),
        parser="sample",
        only_on="darwin",
        stops=False,
        knows_python=False,
        slow_s=30.0,
    ),
    Tool(
        name="py-spy",
        command=("py-spy", "dump", "--json", "--native", "--pid", "{pid}"),
        parser="py-spy",
        text_of=pyspy.text_of,
        only_on="linux",
        sees_stopped=False,
    ),
    Tool(
        name="pystack-nonblocking",
        command=(sys.executable, "-m", "pystack", "remote", "--no-color", "--no-block", "{pid}"),
        parser="pystack",
        only_on="linux",
        stops=False,
    ),
    Tool(
        name="py-spy-nonblocking",
        command=("py-spy", "dump", "--json", "--nonblocking", "--pid", "{pid}"),
        parser="py-spy",
        text_of=pyspy.text_of,
        stops=False,
    ),
    Tool(
        name="gdb",
        command=(
            *("gdb", "-p", "{pid}", "-batch", "-nx", "-iex", "set auto-load python-scripts off"),
            *("-ex", "thread apply all bt 128"),
        ),
        parser="gdb",
        only_on="linux",
    ),
)


OWNERS = Tool(
    name="spindump",
    # As many looks as `sample` takes. Without its own data at the end, and of no other process.
    command=("spindump", "{pid}", "1", "50", "-onlyTarget", "-heavy", "-noBinary", "-o", "{file}"),
    parser="spindump",
    only_on="darwin",
    stops=False,
    knows_python=False,
    slow_s=60.0,
)
"""Says who owns what a thread waits for, beside the tools that show stacks. It asks for root."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one tool."""

    tool: str
    ok: bool
    seconds: float
    reason: str = ""
    """The reason why it failed, in one line."""
    file: str | None = None
    """Name of the file its answer is in."""


class ToolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The availability of a tool."""

    name: str
    ok: bool
    reason: str = ""


def available(probe: bool = True) -> tuple[ToolStatus, ...]:
    """The tools that can be used here: installed, and with `probe` tried on a process of our
    own."""
    if not probe:
        missing = ((tool, _missing(tool)) for tool in here())
        return tuple(ToolStatus(name=t.name, ok=not why, reason=why) for t, why in missing)
    with _sleeper() as pid, tempfile.TemporaryDirectory() as folder:
        tried = [attempt(tool, pid, Path(folder, tool.name), TIMEOUT_S)[0] for tool in here()]
    return tuple(
        ToolStatus(name=result.tool, ok=result.ok, reason=result.reason) for result in tried
    )


def tells_owners() -> bool:
    """True where OWNERS can be asked."""
    here = platform.current().name == OWNERS.only_on
    return here and os.geteuid() == 0 and not _missing(OWNERS)


def here() -> tuple[Tool, ...]:
    """The tools of this platform."""
    return tuple(tool for tool in TOOLS if tool.only_on in (None, platform.current().name))


def attempt(
    tool: Tool,
    pid: int,
    file: Path,
    timeout: float,
    spare: bool = False,
    stop: threading.Event | None = None,
) -> tuple[Attempt, tuple[ThreadStack, ...]]:
    """Ask one tool, whose answer goes to `file`. Without a stack the attempt says why."""
    began = time.monotonic()
    threads: tuple[ThreadStack, ...] = ()
    reason = _missing(tool)
    if not reason:
        try:
            threads, reason = _ask(tool, pid, file, timeout, spare, stop)
        except OSError as error:
            reason = f"{error.strerror or error}: {error.filename or tool.name}"
    return (
        Attempt(
            tool=tool.name,
            ok=not reason,
            seconds=time.monotonic() - began,
            reason=reason,
            file=None if reason else file.name,
        ),
        threads if not reason else (),
    )


def harm(pid: int) -> str:
    """Say what a stop would do to the process as it is now; empty when it does no harm."""
    program, here = _executable(pid), platform.current()
    looked = here.processes([pid], deep=True)[:1]
    certain = stopping.repeats(program)
    timed = {tid for process in looked for tid in here.timed_reads(process, certain)}
    why = stopping.any_of(looked, program, here.arch, timed)
    return f"not used: {why}" if why else ""


def astray(pid: int) -> str:
    """Say which signal a stop would lead astray; empty where it leads none."""
    why = stopping.astray(_executable(pid), platform.current().astray(pid))
    return f"not used: {why}" if why else ""


def _executable(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


SPARED = "not used: it could harm what the process was seen in"


def is_stopped(pid: int) -> bool:
    """Check whether a signal has stopped it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _ask(
    tool: Tool, pid: int, file: Path, timeout: float, spare: bool, stop: threading.Event | None
) -> tuple[tuple[ThreadStack, ...], str]:
    """The threads as the tool sees them, or the reason why there are none."""
    if tool.stops and (why := harm(pid) or astray(pid) or SPARED * spare):
        return (), why
    transfers = platform.current().transfers(pid)
    was_stopped = is_stopped(pid)
    if was_stopped and not tool.sees_stopped:
        return (), "cannot look at a process that a signal has stopped"
    file.parent.mkdir(parents=True, exist_ok=True)
    program = _program(tool.command[0]) or tool.command[0]
    rest = [part.format(pid=pid, file=file.absolute()) for part in tool.command[1:]]
    answer = run_tool.run([program, *rest], max(timeout, tool.slow_s), stop=stop)
    if (answer.code is None or answer.code < 0) and not was_stopped:
        _resume(pid)
    if answer.code != 0:
        return (), answer.problem or _reason(answer)
    if "{file}" in tool.command:
        with file.open("rb") as written:
            text = written.read(run_tool.LIMIT).decode("utf-8", "replace")
    else:
        text = tool.text_of(answer.output)
        file.write_text(text, encoding="utf-8")
    mappings = run_threads.within(_MAPPINGS_S, lambda: platform.current().code(pid), "")
    if mappings:
        (file.parent / MAPPINGS).write_text(mappings, encoding="utf-8")
        located = modules.annotated(tool.parser, text, mappings)
        if located != text:
            file.write_text(text := located, encoding="utf-8")
    threads = parse(tool.parser, text, pid)
    if not tool.stops:
        threads = tuple(_in_call(thread, transfers) for thread in threads)
    if not threads:
        file.unlink()
    return threads, "" if threads else f"no stack in its answer; {_reason(answer)}"


def _in_call(thread: ThreadStack, transfers: Mapping[int, str]) -> ThreadStack:
    """`thread` with the call that it is in, which who only reads memory does not see."""
    call = transfers.get(thread.tid or 0)
    if call is None:
        return thread
    frames = (Frame(function=call, system=True), *thread.frames)
    return msgspec.structs.replace(thread, frames=frames, running=False)


def _ended(code: int | None) -> str:
    """Describe the end of a tool that said nothing."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _reason(answer: run_tool.Answer) -> str:
    """The line of a failed tool's output that says most."""
    text = answer.errors.strip() or answer.output.strip()
    told = next((told for words, told in _TOLD.items() if words in text), None)
    if told is not None:
        return told
    lines = [" ".join(re.sub(r"[^\x20-\x7e]", " ", line).split()) for line in text.splitlines()]
    lines = [line for line in lines if line]
    telling = [
        line
        for line in lines
        if re.search(r"error|denied|not permitted|no such|cannot examine", line, re.I)
    ]
    reason = (telling or lines or [_ended(answer.code)])[0][:200]
    if re.search(r"denied|not permitted", text, re.I):
        scope = platform.ptrace_scope()
        if scope not in ("", "0"):
            reason += f" (kernel.yama.ptrace_scope is {scope})"
    return reason


_TOLD = {
    "appropriate privileges to examine": "not permitted to look at the process: start the harness"
    " as its user, or with sudo",
    "no longer appears to be running": "the process has ended, or begins another program",
}
"""Answers of `sample` that mean different things, and end with one exit code."""


def _missing(tool: Tool) -> str:
    if _program(tool.command[0]) is None:
        return "not installed"
    if "pystack" in tool.command and tool.command[0] == sys.executable:
        return "" if find_spec("pystack") else "not installed"
    return ""


def _program(name: str) -> str | None:
    """The program on the path, or beside our own interpreter (a venv that is not active)."""
    beside = Path(sys.executable).parent / name
    return shutil.which(name) or (str(beside) if os.access(beside, os.X_OK) else None)


def _resume(pid: int) -> None:
    """Undo what a tool leaves that was killed between asking for a stop and seeing it."""
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        if is_stopped(pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)
            return
        time.sleep(0.01)


@contextlib.contextmanager
def _sleeper() -> Iterator[int]:
    """A Python process that sleeps, for the tools to be tried on."""
    with subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a Ctrl-C reaches it too, and is not its business
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()
