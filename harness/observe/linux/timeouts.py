"""When a timed wait will end, read from the memory of the process that waits. Linux only.

Reading takes what a debugger would need and alters nothing. Where it is not allowed, or the wait is
of another kind, the answer is None.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Iterable

import msgspec

from harness import syscalls
from harness.model import Process, Thread
from harness.observe.linux import reading

_TIMESPEC = struct.Struct("<qq")
_ABSOLUTE = 1
_FUTEX_COMMAND, _FUTEX_REALTIME = 0x7F, 256
_FUTEX_WAIT, _FUTEX_LOCK_PI = 0, 6
_FUTEX_WAITS = frozenset((_FUTEX_WAIT, _FUTEX_LOCK_PI, 9, 11, 13))
"""FUTEX_WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI and LOCK_PI2: only the first one's timeout is
relative, and the second one's is always of the clock of the day."""
_MILLISECONDS = {"poll": 2, "epoll_wait": 3, "epoll_pwait": 3}
"""The index of the argument that is the timeout itself, a C int; negative for ever."""
_RELATIVE = {
    "nanosleep": 0, "ppoll": 2, "select": 4, "pselect6": 4, "epoll_pwait2": 3,
    "rt_sigtimedwait": 2, "semtimedop": 3, "io_getevents": 4, "io_pgetevents": 4,
}  # fmt: skip
"""The index of the argument that is the address of a relative timeout. That of recvmmsg is no
clock: it is looked at when a message comes."""
_OF_THE_DAY = {"mq_timedsend": 4, "mq_timedreceive": 4}
"""The index of the argument that is the address of a time of day."""
_URING, _RING_WAITS, _RING_WAIT, _RING_TIMEOUT = "io_uring_enter", 0b1101001, 0b1001, 16
"""Of its flags those that say how it waits, as they are where it waits (IORING_ENTER_GETEVENTS)
with a relative timeout in its argument (EXT_ARG, without ABS_TIMER and EXT_ARG_REG), and the place
of that timeout's address in struct io_uring_getevents_arg."""
_BY_A_CLOCK = {"futex_waitv": (3, 4), "futex_wait": (4, 5)}
"""The indexes of the address of a time, and of the clock that shows it."""

_SHIFTED = {time.CLOCK_MONOTONIC: b"monotonic", 7: b"boottime"}
"""The clocks that may show another time in a namespace; CLOCK_BOOTTIME is 7 on Linux."""
_PLAUSIBLE_S = 3600.0
"""Who waits for longer than this, or waits for what has long been, may have a clock of its own."""


def wakes_in(pid: int, number: int, args: tuple[int, ...], arch: str) -> float | None:
    """Seconds until the wait ends by itself, at most: of a relative timeout all of it."""
    name = syscalls.name(number, arch)
    if name is None or len(args) < 6:
        return None
    if name in _MILLISECONDS:
        milliseconds = args[_MILLISECONDS[name]] & 0xFFFFFFFF
        return milliseconds / 1000 if milliseconds < 1 << 31 else None
    if name in _RELATIVE:
        unit = 1e-6 if name == "select" else 1e-9
        return _read(pid, args[_RELATIVE[name]], unit)
    if name in _OF_THE_DAY:
        return _until(pid, _read(pid, args[_OF_THE_DAY[name]]), time.CLOCK_REALTIME)
    if name == _URING:
        waits = args[3] & _RING_WAITS == _RING_WAIT
        return _read(pid, _address(pid, args[4] + _RING_TIMEOUT)) if waits else None
    if name in _BY_A_CLOCK:
        address, clock = _BY_A_CLOCK[name]
        return _until(pid, _read(pid, args[address]), args[clock])
    if name == "clock_nanosleep":
        value = _read(pid, args[2])
        return _until(pid, value, args[0]) if args[1] & _ABSOLUTE else value
    if name == "futex" and (command := args[1] & _FUTEX_COMMAND) in _FUTEX_WAITS:
        of_the_day = args[1] & _FUTEX_REALTIME or command == _FUTEX_LOCK_PI
        clock = time.CLOCK_REALTIME if of_the_day else time.CLOCK_MONOTONIC
        value = _read(pid, args[3])
        return value if command == _FUTEX_WAIT else _until(pid, value, clock)
    return None


def relative(number: int, args: tuple[int, ...], arch: str) -> bool:
    """True if what `wakes_in` reads of the call is the whole timeout, from the wait's begin."""
    name = syscalls.name(number, arch)
    if name == "clock_nanosleep":
        return not args[1] & _ABSOLUTE
    if name == "futex":
        return args[1] & _FUTEX_COMMAND == _FUTEX_WAIT
    return name in _MILLISECONDS or name in _RELATIVE or name == _URING


class Left:
    """The rest of relative timeouts, by when each wait was first seen, from look to look.

    How long it had lasted by then nobody knows, so it is what is left at most.
    """

    def __init__(self, arch: str) -> None:
        self._arch = arch
        self._since: dict[tuple[object, ...], float] = {}
        """The first sight of each wait, by thread, call, arguments and context switches: each new
        wait has another number."""

    def of(self, processes: Iterable[Process], t: float) -> tuple[Process, ...]:
        """`processes`, as they were seen at `t`, after those that were given before."""
        before, self._since = self._since, {}
        return tuple(
            msgspec.structs.replace(
                one, threads=tuple(self._of(one.pid, thread, before, t) for thread in one.threads)
            )
            for one in processes
        )

    def _of(
        self, pid: int, thread: Thread, before: dict[tuple[object, ...], float], t: float
    ) -> Thread:
        if thread.wakes_in is None or thread.syscall is None or thread.switches is None:
            return thread
        if not relative(thread.syscall, thread.args, self._arch):
            return thread
        wait = (pid, thread.tid, thread.syscall, thread.args, thread.switches)
        since = self._since[wait] = before.get(wait, t)
        return msgspec.structs.replace(thread, wakes_in=max(0.0, thread.wakes_in - (t - since)))


def _until(pid: int, value: float | None, clock: int) -> float | None:
    """Seconds until a clock shows `value` to a process."""
    if value is None:
        return None
    clock = ctypes.c_int(clock).value  # a register holds more; a clock of the CPU is negative
    try:
        left = value - time.clock_gettime(clock)
    except OSError:
        return None
    if clock in _SHIFTED and not -_PLAUSIBLE_S < left < _PLAUSIBLE_S:
        left -= _shift(f"{pid}", clock) - _shift("self", clock)
    return max(0.0, left)


def _shift(process: str, clock: int) -> float:
    """Seconds by which a clock shows more than the machine's own: in a time namespace. 0 where that
    cannot be read."""
    lines = reading.read(f"/proc/{process}/timens_offsets").splitlines()
    for name, seconds, fraction in (words for line in lines if len(words := line.split()) == 3):
        if name == _SHIFTED[clock]:
            return float(seconds) + 1e-9 * float(fraction)
    return 0.0


def _address(pid: int, place: int) -> int:
    """The address that stands at `place` of another process; 0 where it cannot be read."""
    return int.from_bytes(reading.memory(pid, place, 8), "little")


def _read(pid: int, address: int, unit: float = 1e-9) -> float | None:
    """A struct timespec (or timeval) at `address` of another process, in seconds."""
    if address == 0:
        return None
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return None
    try:
        seconds, fraction = _TIMESPEC.unpack(os.pread(memory, _TIMESPEC.size, address))
    except (OSError, OverflowError, struct.error):
        return None
    finally:
        os.close(memory)
    return float(seconds + fraction * unit)
