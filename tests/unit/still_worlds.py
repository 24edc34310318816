"""Process trees in which nothing moves, made up: the input to the proof and to what tells sleep."""

from __future__ import annotations

from harness.detect.deadlock import LOOKS, SPAN_S
from harness.model import Process, Thread
from harness.model.world import Surroundings, World

FUTEX = {"x86_64": 202, "aarch64": 98}
WAIT4 = {"x86_64": 61, "aarch64": 260}
WAIT_PRIVATE, WAIT_BITSET_PRIVATE_REALTIME = 128, 9 | 128 | 256
ALONE = Surroundings(tracer=0, pending=False, alarm=False, timers=0, devices=(), asynchronous=())


def waiting(tid, machine, operation=WAIT_PRIVATE, timeout=0):
    return Thread(
        tid=tid,
        name="python",
        state="S",
        cpu_s=1.5,
        syscall=FUTEX[machine],
        args=(0x7F00, operation, 2, timeout, 0, 0xFFFFFFFF),
        switches=40,
    )


def process(pid, ppid, threads, state="S"):
    return Process(
        pid=pid, ppid=ppid, name="python", state=state, cpu_s=1.5, threads=tuple(threads)
    )


def looks(processes, count=LOOKS, span=SPAN_S, around=None):
    around = around or {p.pid: ALONE for p in processes}
    return [
        World(t=10 + i * span / (count - 1), processes=processes, surroundings=around)
        for i in range(count)
    ]
