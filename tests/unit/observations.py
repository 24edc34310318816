"""Made-up observations of process trees: the input to the chain of waits and to all detectors."""

from __future__ import annotations

import msgspec

from harness.detect.observation import Look, Observation
from harness.model import Machine, Process, Thread
from harness.model.world import More, Surroundings, World
from harness.stacks.parse import ThreadStack
from harness.stacks.parse.frames import Frame

replace = msgspec.structs.replace
ALONE = Surroundings(tracer=0, pending=False, alarm=False, timers=0, devices=(), asynchronous=())
FUTEX, WAIT4, READ, NANOSLEEP, PAUSE, POLL = 202, 61, 0, 230, 34, 7
FOR_EVER = (0x7F00, 128, 2, 0, 0, 0)
SHARED = {"syscall": FUTEX, "args": (0x7F00, 0, 2, 0, 0, 0), "wchan": "futex_do_wait"}
DISK = {"state": "D", "syscall": None, "wchan": "io_schedule"}
READS = {"syscall": READ, "args": (5, 0, 1, 0, 0, 0), "wchan": "anon_pipe_read"}


def sleeps(left=None):
    """Fields of a thread in clock_nanosleep, of which so many seconds are left."""
    return {"syscall": NANOSLEEP, "args": (1, 1, 64, 0, 0, 0), "wakes_in": left,
            "wchan": "hrtimer_nanosleep"}  # fmt: skip


def awaits(pid=2**64 - 1):
    """Fields of a thread in wait4."""
    return {"syscall": WAIT4, "args": (pid, 0, 0, 0, 0, 0), "wchan": "do_wait"}


def calls(number, *args, **fields):
    """Fields of a thread in any other system call."""
    every = (*args, *(0,) * (6 - len(args)))
    return {"syscall": number, "args": every, "wchan": "some_wait", **fields}


RUNNING = {"state": "R", "syscall": None}


def thread(tid=1, **fields):
    """One that waits for ever in a private futex, unless it is said to be elsewhere."""
    given = {"name": "python", "state": "S", "cpu_s": 1.0, "switches": 40}
    if not fields.keys() & {"syscall", "wchan"}:
        given |= {"syscall": FUTEX, "args": FOR_EVER, "wchan": "futex_do_wait"}
    return Thread(tid=tid, **{**given, **fields})


def process(pid=1, *threads, ppid=0, **fields):
    given = {"name": "python", "state": "S", "cpu_s": 2.0, "rss": 1 << 20, "major_faults": 0,
             "io_bytes": 100}  # fmt: skip
    return Process(pid=pid, ppid=ppid, threads=threads or (thread(pid),), **{**given, **fields})


def seen(*processes, later=(), more=None, around=ALONE, **fields):
    """Two windows of looks over two seconds each; `later` is how the tree is at the last look."""
    windows = []
    more = more or {}
    steps = ((0.0, processes), (1.0, processes), (2.0, processes))
    for start, last in ((10.0, processes), (14.0, later or processes)):
        chosen = [*steps[:2], (2.0, last)]
        windows.append(
            tuple(
                Look(
                    t=start + passed,
                    processes=found,
                    worlds={one.pid: _world(start + passed, one, found, around) for one in found},
                    more={p.pid: more.get(p.pid, More(started=p.pid)) for p in found},
                    machine=Machine(available=8 << 30),
                )
                for passed, found in chosen
            )
        )  # fmt: skip
    names = {one.pid: f"{one.name} train.py ..." for one in processes}
    return Observation(
        **{"root": 1, "windows": tuple(windows), "arch": "x86_64", "names": names, **fields}
    )


def _world(t, top, found, around):
    below = {top.pid}
    for one in found:
        if one.ppid in below:
            below.add(one.pid)
    kept = tuple(one for one in found if one.pid in below)
    return World(t=t, processes=kept, surroundings={one.pid: around for one in kept})


def stack(*names, tid=1, main=True, lines=None):
    """Innermost first: `py:name` is of the user's code in Python, `thread.py:name` of Python's own
    library; others are native."""
    return ThreadStack(
        frames=tuple(_frame(name, (lines or {}).get(name, 7)) for name in names), tid=tid, main=main
    )


def _frame(name, line):
    file, _, function = name.partition(".py:")
    if name.startswith("py:"):
        return Frame(function=name[3:], file="train.py", line=line, python=True)
    if function:
        return Frame(function=function, file=f"{file}.py", line=line, python=True, system=True)
    mlx = "mlx::" in name
    return Frame(function=name, file="libmlx.so" if mlx else "libc.so.6", system=not mlx)


def twice(*stacks):
    return {1: (stacks, stacks)}


def busy(one, seconds=2.0, **fields):
    """`one` after its main thread has used the CPU for so many seconds."""
    first, *rest = one.threads
    first = replace(first, cpu_s=first.cpu_s + seconds, **fields)
    return replace(one, cpu_s=one.cpu_s + seconds, threads=(first, *rest))


SPIN = process(1, thread(1, **RUNNING))
LAUNCHER = process(1, thread(1, **awaits()))
