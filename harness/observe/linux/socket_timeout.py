"""The timeouts that a socket itself has, which neither /proc nor a system call's arguments show."""

from __future__ import annotations

import ctypes
import os
import socket
import struct

from harness import syscalls
from harness.model import Process
from harness.observe.linux import file_table

_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
"""Numbers of system calls, which are the same on all processors."""
_READS, _OF_SOCKETS = ("read", "readv"), ("recvfrom", "recvmsg", "accept", "accept4")
_TIMEVAL = struct.Struct("@ll")


def seconds(pid: int, file: int, reads: bool) -> float | None:
    """The time after which a read from an open socket of `pid`, or a write to it, ends by itself; 0
    where it does not.

    None where that could not be read: it takes the rights of a debugger, and Linux 5.6. The process
    is not stopped. For a moment we have its socket open as well.
    """
    call = ctypes.CDLL(None, use_errno=True).syscall
    process = call(_PIDFD_OPEN, pid, 0)
    if process < 0:
        return None
    try:
        copy = call(_PIDFD_GETFD, process, file, 0)
    finally:
        os.close(process)
    if copy < 0:
        return None
    option = socket.SO_RCVTIMEO if reads else socket.SO_SNDTIMEO
    try:
        held = socket.socket(fileno=copy)
    except OSError:  # the number is another file's by now
        os.close(copy)
        return None
    with held:
        answer = held.getsockopt(socket.SOL_SOCKET, option, _TIMEVAL.size)
    if len(answer) != _TIMEVAL.size:
        return None
    whole, millionths = _TIMEVAL.unpack(answer)
    return float(whole + 1e-6 * millionths)


def reads(process: Process, arch: str, certain: bool) -> frozenset[int]:
    """The threads in a read from a socket that ends by itself; if not `certain`, also in one that
    may do so, where the call itself does not tell that it reads from a socket."""
    found = set()
    for thread in process.threads:
        name = "" if thread.syscall is None else syscalls.name(thread.syscall, arch)
        known = _READS if not certain else (*_READS, *_OF_SOCKETS)
        if thread.state != "S" or name not in known or not thread.args:
            continue
        target = file_table.target(process.pid, thread.args[0]) or ""
        if not target.startswith("socket:"):
            continue
        told = seconds(process.pid, thread.args[0], True)
        if told or (told is None and not certain):
            found.add(thread.tid)
    return frozenset(found)
