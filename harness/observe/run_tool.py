"""A helper program run so that it can neither hang us nor flood us."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from typing import IO

import msgspec

from harness.text.units import duration, size

LIMIT = 16 << 20
"""Bytes of output that are kept; 1,000 threads take about 2 MiB."""


_TIED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) and os.execvp(sys.argv[2], sys.argv[2:])"
)
"""Starts a program that the kernel kills when we die, and with us the thread that waits for it.

It is given our number: once we have died it has another parent, and which one nobody can say (1, or
a subreaper); and in a container it may be us who are 1."""
_NOTICE_S = 0.05
"""The seconds until it is seen that a program is to be ended."""
_END_S = 2.0
"""The longest wait for a killed program, in seconds."""
_LOOK_S = 0.001
_SPENT: weakref.WeakKeyDictionary[threading.Event, float] = weakref.WeakKeyDictionary()
_SPENDING = threading.Lock()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a program. `code` is None when it was ended by us; `problem` says why."""

    output: str
    errors: str
    code: int | None
    problem: str = ""


def run(
    command: Sequence[str],
    timeout: float,
    limit: int = LIMIT,
    stop: threading.Event | None = None,
) -> Answer:
    """Run `command` in a session of its own for at most `timeout` seconds, or until `stop` is set.

    Whatever it started goes with it when it is ended. Raises OSError when it cannot be started.
    """
    stop = stop or threading.Event()
    environment = {k: v for k, v in os.environ.items() if k != "DEBUGINFOD_URLS"}
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",  # not in a folder whose files could shadow the tool's own modules
        env=environment,  # debug information is not to be fetched over the network
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + timeout
    try:
        output, errors, problem = _read(process.stdout, process.stderr, deadline, limit, stop)
        # One that has closed its outputs may take its time to end.
        while not problem and not _has_ended(process, _NOTICE_S, stop):
            problem = _over(deadline, stop)
    finally:
        _end(process, stop)
    if problem == "timeout":
        problem = f"no answer in {duration(timeout)}"
    return Answer(
        output=output.decode("utf-8", "replace"),
        errors=errors.decode("utf-8", "replace"),
        code=None if problem else process.returncode,
        problem=problem,
    )


def _read(
    out: IO[bytes], err: IO[bytes], deadline: float, limit: int, stop: threading.Event
) -> tuple[bytearray, bytearray, str]:
    """Both streams up to their ends, and what prevented that."""
    read = {out: bytearray(), err: bytearray()}
    problem = ""
    with selectors.DefaultSelector() as selector:
        for stream in read:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and not problem:
            ready = selector.select(min(_NOTICE_S, max(0.0, deadline - time.monotonic())))
            problem = _over(deadline, stop)
            for key, _ in ready:
                stream = next(stream for stream in read if stream is key.fileobj)
                data = os.read(key.fd, 1 << 16)
                read[stream] += data
                if not data:
                    selector.unregister(stream)
                elif len(read[stream]) > limit:
                    problem = f"printed more than {size(limit)}"
    return read[out], read[err], problem


def _over(deadline: float, stop: threading.Event) -> str:
    """The reason why a program may not run any longer; empty while it may."""
    if stop.is_set():
        return "ended together with the run"
    return "timeout" if time.monotonic() >= deadline else ""


def spent(stop: threading.Event) -> float:
    """The CPU time, in seconds, of the programs that were run until `stop`, and have ended."""
    with _SPENDING:
        return _SPENT.get(stop, 0.0)


def _has_ended(process: subprocess.Popen[bytes], seconds: float, stop: threading.Event) -> bool:
    """Wait for the end of a program, for so long at most, and count what it has used."""
    until = time.monotonic() + seconds
    while process.returncode is None:
        try:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
        except ChildProcessError:  # SIGCHLD is ignored
            process.wait()
            return True
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            with _SPENDING:
                _SPENT[stop] = _SPENT.get(stop, 0.0) + used.ru_utime + used.ru_stime
        elif time.monotonic() >= until:
            return False
        else:
            time.sleep(_LOOK_S)
    return True


def _end(process: subprocess.Popen[bytes], stop: threading.Event) -> None:
    """End the program and its group, and do not wait for one that even SIGKILL cannot end."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if _has_ended(process, _END_S, stop):
            _bury(process.pid)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _bury(group: int) -> None:
    """Wait for what a killed program has left to us: in a container whose first process we are,
    all orphans are ours. Nobody else waits for one that is in the program's own group."""
    end = time.monotonic() + _END_S
    while time.monotonic() < end:
        try:
            pid, _ = os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:  # there is none, or none any more
            return
        if pid == 0:
            time.sleep(0.001)
