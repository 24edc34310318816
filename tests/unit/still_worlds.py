"""Process trees in which nothing moves, made up: the input to the proof of deadlock."""

from __future__ import annotations

from harness import syscalls
from harness.detect.observation import Observation
from harness.detect.policy import STANDARD
from harness.model import Process, Thread
from harness.model.world import Surroundings, World

WAIT_PRIVATE, WAIT_BITSET_PRIVATE_REALTIME, WAIT_SHARED = 128, 9 | 128 | 256, 0
ANY_CHILD = (2**64 - 1, 0, 0, 0, 0, 0)
ALONE = Surroundings(
    tracer=0, pending=False, alarm=False, timers=0, devices=(), asynchronous=(), handlers=()
)


def number(call, arch="x86_64"):
    """The number of a system call."""
    return next(number for number, name in syscalls.TABLES[arch].items() if name == call)


FUTEX = {arch: number("futex", arch) for arch in syscalls.TABLES}
WAIT4 = {arch: number("wait4", arch) for arch in syscalls.TABLES}
WAITID = {arch: number("waitid", arch) for arch in syscalls.TABLES}


def waiting(tid, machine="x86_64", operation=WAIT_PRIVATE, timeout=0):
    """A thread in a futex."""
    return Thread(
        tid=tid,
        name="python",
        state="S",
        cpu_s=1.5,
        syscall=FUTEX[machine],
        args=(0x7F00, operation, 2, timeout, 0, 0xFFFFFFFF),
        switches=40,
        wchan="futex_do_wait",
    )


def in_call(tid, call, *args, arch="x86_64", **fields):
    """A thread in another system call, with zeros for the arguments that are not given."""
    given = {"state": "S", "switches": 40, "wchan": "some_wait", **fields}
    every = (*args, *(0,) * (6 - len(args)))
    return Thread(
        tid=tid, name="python", cpu_s=1.5, syscall=number(call, arch), args=every, **given
    )


def process(pid, ppid, threads, state="S"):
    return Process(
        pid=pid, ppid=ppid, name="python", state=state, cpu_s=1.5, threads=tuple(threads)
    )


def looks(processes, count=STANDARD.proof_looks, span=STANDARD.proof_s, around=None):
    around = around or {p.pid: ALONE for p in processes}
    return [
        World(t=10 + i * span / (count - 1), processes=processes, surroundings=around)
        for i in range(count)
    ]


def known(arch="x86_64", **relations):
    """What is read beside the looks: `links`, `futexes` and `shares`."""
    return Observation(root=1, windows=(), arch=arch, **relations)
