"""A training run of chosen step time, with a stall or something harmless in one of its steps.

The variable VICTIM names, as JSON: the `event` (a function below), the step `at` which it happens,
`step_s`, the seconds of every other step, and whether they are `computed` or slept. Just before the
event the time of the monotonic clock is written to the file `event` in the run's folder.
"""

from __future__ import annotations

import ctypes
import json
import lzma
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx

ASKED = json.loads(os.environ["VICTIM"])
LONG_S = 12.0
"""The duration of a harmless event: long enough to be taken for a stall."""
SHORT_S = 6.0
"""And one that shows no progress of any kind."""


def make_step(training: Any) -> Callable[[], mx.array]:
    event = globals()[ASKED["event"]]

    def step() -> mx.array:
        if training.step == ASKED["at"]:
            note = Path(sys.argv[1]).parent / "event"
            note.write_text(repr(time.monotonic()))
            event()
        elif ASKED["computed"]:
            compute(ASKED["step_s"])
        else:
            time.sleep(ASKED["step_s"])
        return mx.array(1.0 / (1 + training.step))

    return step


def batches(training: Any) -> Iterator[tuple[()]]:
    while True:
        yield ()


def compute(seconds: float) -> None:
    """Evaluate small products for so long."""
    until = time.monotonic() + seconds
    x = mx.eye(64)
    while time.monotonic() < until:
        mx.eval(x @ x)


# --- stalls


def fork_deadlock() -> None:
    """The child of a fork waits for a stream whose thread it does not have."""
    mx.eval(mx.ones(4) + 1)
    pid = os.fork()
    if pid == 0:
        mx.eval(mx.ones(4) * 2)
        os._exit(0)
    os.waitpid(pid, 0)


def two_locks() -> None:
    first, second, both = threading.Lock(), threading.Lock(), threading.Barrier(2)

    def other() -> None:
        with second:
            both.wait()
            with first:
                pass

    threading.Thread(target=other, daemon=True).start()
    with first:
        both.wait()
        with second:
            pass


def empty_queue() -> None:
    queue.Queue[int]().get()


def native_lock_with_gil() -> None:
    library, lock = ctypes.PyDLL(None), ctypes.create_string_buffer(256)
    library.pthread_mutex_init(lock, None)
    library.pthread_mutex_lock(lock)
    library.pthread_mutex_lock(lock)


def child_never_ends() -> None:
    subprocess.run(["sleep", "100000"], check=True)


def silent_peer() -> None:
    here, there = socket.socketpair()
    here.recv(1)
    there.close()


def timed_waits() -> None:
    """A loader that looks ten times a second for what never comes."""
    never = threading.Event()
    while not never.wait(0.1):
        pass


def python_spin() -> None:
    done: list[int] = []
    while not done:
        pass


def native_spin() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


def gpu_kernel() -> None:
    """Only on an NVIDIA GPU: the host waits, the device is busy."""
    from _gpu import FOR_EVER_NS, busy  # type: ignore[import-not-found]

    mx.eval(busy(FOR_EVER_NS))


# --- harmless


def nothing() -> None:
    pass


def slow_step() -> None:
    compute(LONG_S)


def slow_python() -> None:
    python_for(SHORT_S)


def long_python() -> None:
    python_for(LONG_S)


def python_for(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1_000_000))


def tokenizing() -> None:
    """Python code of many functions, as a loader's."""
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        text = json.dumps([hash(word) % 1000 for word in ("a word " * 400).split()])
        json.loads(text)


def compressing() -> None:
    """Native code of many functions, on the main thread."""
    until = time.monotonic() + LONG_S
    data = os.urandom(1 << 20)
    while time.monotonic() < until:
        lzma.compress(data)


def patient_loader() -> None:
    """Looks ten times a second for what comes late."""
    poll_for(SHORT_S)


def very_patient_loader() -> None:
    poll_for(LONG_S)


def poll_for(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.1)


def long_sleep() -> None:
    time.sleep(LONG_S)


def working_child() -> None:
    code = f"import time; t = time.monotonic()\nwhile time.monotonic() < t + {LONG_S}: pass"
    subprocess.run([sys.executable, "-c", code], check=True)


def sleeping_child() -> None:
    subprocess.run(["sleep", str(LONG_S)], check=True)


def checkpoint() -> None:
    """Writes to the disk, flushed each time."""
    until = time.monotonic() + LONG_S
    with tempfile.TemporaryFile() as file:
        while time.monotonic() < until:
            file.seek(0)
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
            time.sleep(0.05)


def late_peer() -> None:
    """The peer answers, but not at once."""
    here, there = socket.socketpair()
    threading.Timer(LONG_S, there.send, (b"!",)).start()
    here.recv(1)


def download() -> None:
    """Data comes slowly, and all the time."""
    here, there = socket.socketpair()

    def serve() -> None:
        for _ in range(int(LONG_S / 0.02)):
            time.sleep(0.02)
            there.send(bytes(4096))
        there.close()

    threading.Thread(target=serve).start()
    while here.recv(1 << 16):
        pass


def cold_compiles() -> None:
    """New kernels, each of which takes a compiler a second or two."""
    for number in range(4):
        function = mx.compile(lambda x, k=number: mx.exp(x * (k + 1)) + mx.sin(x + k))
        mx.eval(function(mx.ones(8)))


def flood() -> None:
    until = time.monotonic() + LONG_S / 4
    while time.monotonic() < until:
        os.write(1, b"x" * (1 << 16))
