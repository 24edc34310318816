"""A program that asks a process for the timers that send it signals, by one of its threads.

/proc does not show the interval timer ITIMER_REAL at all, and of POSIX timers not when they ring. A
thread at rest in an untimed futex wait, in wait4 or waitid, at an empty pipe, at a full one with no
more to write than goes in at once, or (on x86_64) at an empty stream of a local socket is stopped
for a moment, made to call getitimer and timer_gettime, and put back as it was: it makes its own
call anew. The program has a session of its own, heeds no signal and outlives its parent. So the end
of the harness leaves no thread with registers that are not its own. It runs as a plain file,
without site-packages.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_SEIZE, _INTERRUPT, _DETACH, _SYSCALL = 0x4206, 0x4207, 17, 24
_GETREGSET, _SETREGSET, _GENERAL = 0x4204, 0x4205, 1
_TELL_CALLS, _IN_CALL, _STOPPED, _WALL = 1, 0x85, 0x8005, 0x40000000
_RESTARTS = frozenset((1 << 64) - number for number in (512, 513, 514))
"""Return values of a call that the kernel makes anew: ERESTARTSYS, ERESTARTNOINTR,
ERESTARTNOHAND."""
_INTERRUPTED = (1 << 64) - 4
"""EINTR, with which a call on a socket ends that has a timeout of its own."""
_WAITS_FOR_ALL = 0x100
"""MSG_WAITALL: a part of what is read may have been taken already."""
_BELOW, _SIZE = 128 + 64, 32
"""The answer, two struct timeval or timespec, goes below the red zone of the thread's stack."""
_VALUE = struct.Struct("16x2q")
"""Of an answer, the time until it rings: seconds, and micro- or nanoseconds."""
_MICRO, _NANO = 1e-6, 1e-9
_BY_CPU = frozenset((2, 3))
"""Clocks that stand still while a process waits. Other clocks of CPU time have negative numbers."""
_MOST = 8
"""Timers of a process that are asked for, at most."""
_STOPS_S, _ALL_S = 0.5, 2.0
"""Seconds that a thread may take to stop, and after which none is asked any more."""
_WCHANS = ("futex_", "do_wait", "anon_pipe_read", "pipe_read")
_AT_SOCKET = "unix_stream_"
_FULL = ("anon_pipe_write", "fifo_pipe_write", "pipe_write")
_AT_ONCE = 4096
"""PIPE_BUF: so many bytes go into a pipe all together or not at all; of more, maybe a part."""


class _Machine(NamedTuple):
    """Places among the registers, each of 64 bits, and numbers of system calls."""

    size: int
    first: int
    second: int
    number: int
    result: int
    pc: int
    stack: int
    instruction: bytes
    getitimer: int
    timer_gettime: int
    futex: int
    others: tuple[int, int, int]
    """wait4, waitid, read."""
    write: int
    recvfrom: int | None
    """None where a call that ended with EINTR cannot be made anew."""


MACHINES = {
    "x86_64": _Machine(
        27, 14, 13, 10, 10, 16, 19, b"\x0f\x05", 36, 224, 202, (61, 247, 0), 1, 45),
    "aarch64": _Machine(
        34, 0, 1, 8, 0, 32, 31, b"\1\0\0\xd4", 102, 108, 98, (260, 95, 63), 64, None),
}  # fmt: skip
_ORIGINAL = 15
"""On x86_64: the place of the number of the call that was interrupted."""
_NO_CALL = (1 << 64) - 1
"""In its place, where none was: so it is where a handler of a signal has returned."""


def answers(pids: Iterable[int], above: int) -> Iterator[tuple[int, str]]:
    """Yield each process with `answer`, as long as there is time."""
    end = time.monotonic() + _ALL_S
    for pid in pids:
        if time.monotonic() < end:
            yield pid, answer(pid, above)


def answer(pid: int, above: int) -> str:
    """Say if ITIMER_REAL is armed, and the seconds until the first of all timers rings; else
    `None` or the name of an error.

    Such as `True 34.5`, `False 12.0` of a POSIX timer, and `False`. `above` is the harness.
    """
    machine = MACHINES[platform.machine()]
    try:
        # The main thread last: a signal that comes while it is stopped reaches another one.
        for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task")), key=lambda tid: tid == pid):
            folder = f"/proc/{pid}/task/{tid}"
            words = _read(f"{folder}/syscall").split()
            if _at_rest(words, _read(f"{folder}/wchan"), machine) and _may_be(folder, pid, above):
                timers = _listed(f"/proc/{pid}/timers")
                return _told(_Tracer(tid, machine).ask(int(words[8], 16), timers))
    except (OSError, LookupError, ValueError) as error:
        return type(error).__name__
    return "None"


def _told(left: list[float] | None) -> str:
    if left is None:
        return "None"
    rings = min((seconds for seconds in left if seconds > 0), default=None)
    return str(left[0] > 0) if rings is None else f"{left[0] > 0} {rings}"


def _listed(path: str) -> list[int]:
    try:
        return _timers(_read(path))
    except FileNotFoundError:
        return []  # a kernel without CONFIG_CHECKPOINT_RESTORE


def _timers(text: str) -> list[int]:
    """The numbers of the POSIX timers that send signals at a time of the clock."""
    found: list[int] = []
    for each in f"\n{text}".split("\nID: ")[1:]:
        fields = dict(line.split(": ", 1) for line in each.splitlines()[1:] if ": " in line)
        clock = int(fields["ClockID"])
        if not fields["notify"].startswith("none") and clock >= 0 and clock not in _BY_CPU:
            found.append(int(each.split(maxsplit=1)[0]))
    return found[:_MOST]


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _at_rest(words: list[str], wchan: str, machine: _Machine) -> bool:
    """True if a thread is in a call that has no timeout and that a stop does not harm."""
    if len(words) != 9 or not wchan.startswith((*_WCHANS, *_FULL, _AT_SOCKET)):
        return False
    if all(int(word, 16) < 1 << 32 for word in words[-2:]):
        return False  # a program of 32 bits, whose calls have other numbers
    number, operation, timeout = int(words[0]), int(words[2], 16) & 0x7F, int(words[4], 16)
    if wchan.startswith(_FULL):
        return number == machine.write and int(words[3], 16) <= _AT_ONCE
    if wchan.startswith(_AT_SOCKET):
        receives = number == machine.recvfrom and not int(words[4], 16) & _WAITS_FOR_ALL
        return machine.recvfrom is not None and (receives or number == machine.others[2])
    waits = number == machine.futex and operation in (0, 9) and timeout == 0
    return waits or number in machine.others


def _may_be(folder: str, pid: int, above: int) -> bool:
    """True if nobody traces the thread, no signal is on its way, and it may call getitimer."""
    theirs, ours = (
        dict(line.split(":", 1) for line in _read(path).splitlines())
        for path in (f"{folder}/status", "/proc/self/status")
    )
    pending, shared, blocked = (int(theirs[name], 16) for name in ("SigPnd", "ShdPnd", "SigBlk"))
    # A filter of system calls may end who makes an unexpected one: only our own filters are known.
    same = theirs.get("Seccomp_filters") == ours.get("Seccomp_filters", "") and descends(pid, above)
    free = not (pending | shared) & ~blocked and int(theirs["TracerPid"]) == 0
    return free and theirs["State"].split()[0] == "S" and (int(theirs["Seccomp"]) == 0 or same)


def descends(pid: int, above: int) -> bool:
    """True if a process is `above`, or descends from it."""
    try:
        while pid > 1 and pid != above:
            pid = int(_read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    except (OSError, LookupError):
        return False
    return pid == above


class _Tracer:
    """Asks one thread. All of it has to be done by one thread of ours."""

    def __init__(self, tid: int, machine: _Machine) -> None:
        self._tid = tid
        self._machine = machine
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._ptrace.restype = ctypes.c_long

    def ask(self, returns: int, timers: Sequence[int] = ()) -> list[float] | None:
        """Stop it, ask, and let it go; returns the seconds until ITIMER_REAL and each of the POSIX
        timers `timers` rings, zero for one that is not armed. None where it did not answer.

        `returns`: the address after its system call.
        """
        self._request(_SEIZE, data=_TELL_CALLS)
        self._request(_INTERRUPT)
        until = time.monotonic() + _STOPS_S
        while (status := self._status(os.WNOHANG)) == 0:
            if time.monotonic() > until:
                return None  # it goes on when we end
            time.sleep(0.0002)
        if status != _STOPPED:
            return self._leave(status)
        before = self._registers()
        again = self._made_anew(before, returns)
        if again is None:
            return self._leave(status)
        place = before[self._machine.stack] - _BELOW & ~15
        with open(f"/proc/{self._tid}/mem", "r+b", buffering=0) as memory:
            kept = os.pread(memory.fileno(), _SIZE, place)
            code = os.pread(memory.fileno(), 4, again[self._machine.pc])
            if len(kept) != _SIZE or not code.startswith(self._machine.instruction):
                return self._leave(status)
            left: list[float] = []
            calls = [(self._machine.getitimer, 0, _MICRO)]
            calls += [(self._machine.timer_gettime, timer, _NANO) for timer in timers]
            # From here on it is not left before all is as it was, however long that takes.
            for number, which, unit in calls:
                called = list(again)
                called[self._machine.number] = number
                called[self._machine.first], called[self._machine.second] = which, place
                self._set(called)
                for _ in ("it enters the call", "it leaves it"):
                    self._request(_SYSCALL)
                    status = self._status()
                    if status != _IN_CALL:  # a signal came first, or its end
                        self._set(before)
                        return self._leave(status)
                told = os.pread(memory.fileno(), _SIZE, place)
                if self._registers()[self._machine.result] != 0 or len(told) != _SIZE:
                    break
                seconds, parts = _VALUE.unpack(told)
                left.append(seconds + unit * parts)
            os.pwrite(memory.fileno(), kept, place)
            self._set(again)
        return self._leave(_STOPPED, left or None)

    def _made_anew(self, registers: list[int], returns: int) -> list[int] | None:
        """The registers with which the thread makes its call anew; None where it is over."""
        again, pc = list(registers), self._machine.pc
        if self._machine.getitimer == MACHINES["aarch64"].getitimer:
            # This kernel has made it so before it stops the thread.
            return again if registers[pc] + len(self._machine.instruction) == returns else None
        result = registers[self._machine.result]
        if registers[pc] != returns or registers[_ORIGINAL] == _NO_CALL:
            return None
        if result != _INTERRUPTED and result not in _RESTARTS:
            return None
        again[pc] -= len(self._machine.instruction)
        again[self._machine.number], again[_ORIGINAL] = registers[_ORIGINAL], _NO_CALL
        return again

    def _status(self, options: int = 0) -> int:
        return os.waitpid(self._tid, options | _WALL)[1] >> 8

    def _leave(self, status: int, answer: list[float] | None = None) -> list[float] | None:
        """Let it go on, with the signal that it was to be given; returns `answer`."""
        self._request(_DETACH, data=status if status < 0x80 else 0)
        return answer

    def _registers(self) -> list[int]:
        held = (ctypes.c_uint64 * self._machine.size)()
        self._transfer(_GETREGSET, held)
        return list(held)

    def _set(self, registers: list[int]) -> None:
        self._transfer(_SETREGSET, (ctypes.c_uint64 * self._machine.size)(*registers))

    def _transfer(self, request: int, held: ctypes.Array[ctypes.c_uint64]) -> None:
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(held), ctypes.sizeof(held))
        self._request(request, _GENERAL, ctypes.addressof(vector))
        if vector[1] != ctypes.sizeof(held):
            raise OSError("a program of 32 bits")

    def _request(self, request: int, address: int = 0, data: int = 0) -> None:
        if self._ptrace(request, self._tid, address, data) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")


if __name__ == "__main__":
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN)
    for pid, said in answers(map(int, sys.argv[2:]), int(sys.argv[1])):
        os.write(1, f"{pid} {said}\n".encode())
