"""A scenario of ten quick steps; in step 3 the fault happens that the variable FAULT names.

Each fault is one function of `training`. What returns is survived: the run goes on. What it returns
is called halfway through the steps, to undo it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import mlx.core as mx

STEP = 3
BOMB = 200
"""Processes that a fork bomb comes to, and no more."""


def make_step(training):
    fault = globals()[os.environ["FAULT"]]
    undo = None

    def step():
        nonlocal undo
        if training.step == STEP:
            undo = fault(training)
        if training.step == training.settings.steps // 2 and undo:
            undo()
        return mx.array(1.0 / (1 + training.step))

    return step


def batches(training):
    while True:
        yield ()


def record() -> Path:
    """The folder that the worker records into; its specification lies there too."""
    return Path(sys.argv[1]).parent


# --- it dies


def segmentation_fault(training):
    ctypes.string_at(0)


def bus_error(training):
    """Reads a mapped page that its file no longer has."""
    with tempfile.TemporaryFile() as file:
        file.truncate(mmap.PAGESIZE)
        page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        file.truncate(0)
        page[0]


def native_abort_in_a_thread(training):
    thread = threading.Thread(target=ctypes.CDLL(None).abort)
    thread.start()
    thread.join()


def killed_for_its_cpu_time(training):
    resource.setrlimit(resource.RLIMIT_CPU, (1, resource.RLIM_INFINITY))
    while True:
        pass


def leaves_in_the_middle(training):
    os._exit(0)


def keyboard_interrupt(training):
    raise KeyboardInterrupt


def memory_error(training):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
    bytearray(1 << 30)


def recursion(training):
    recursion(training)


def unprintable_exception(training):
    class UnprintableError(Exception):
        def __str__(self):
            raise ValueError("no words")

    raise UnprintableError


def exception_that_is_no_text(training):
    raise ValueError("half a pair: \udc80 and an escape: \x1b[31m")


def becomes_another_program(training):
    os.execvp("true", ["true"])


def becomes_a_program_that_waits(training):
    os.execvp("tail", ["tail", "-f", "/dev/null"])


# --- it stands still


def hangs(training):
    threading.Event().wait()


def hangs_at_exit(training):
    atexit.register(threading.Event().wait)


def thread_outlives_the_end(training):
    threading.Thread(target=threading.Event().wait).start()


def hangs_ignoring_term(training):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hangs(training)


def hangs_deaf_to_term(training):
    """Says that it was told to end, and hangs on."""
    signal.signal(signal.SIGTERM, lambda *_: Path(os.environ["READY"]).write_text("TERM"))
    hangs(training)


def hangs_among_zombies(training):
    zombies(training)
    hangs(training)


def hangs_with_hundreds_of_threads(training):
    threads(training, 250)
    hangs(training)


def hangs_unreadable(training):
    """Most of /proc/PID is closed to everyone but a tracer with privileges."""
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    hangs(training)


def hangs_with_an_escapee(training):
    escapee(training)
    hangs(training)


def spins(training):
    while True:
        pass


def spins_ignoring_term(training):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    spins(training)


# --- processes and threads


def escapee(training):
    """A double fork with a session of its own, as a daemon does it."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "600"])
        os._exit(0)
    os.wait()


def fork_bomb(training):
    """Doubles until there are BOMB processes, each in a session of its own and deaf to TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    there = mmap.mmap(-1, BOMB)
    first, size = 0, BOMB
    while size > 1:
        half = size // 2
        if os.fork() == 0:
            os.setsid()
            first, size = first + size - half, half
        else:
            size -= half
    there[first] = 1
    while first:
        signal.pause()
    while there[:].count(1) < BOMB:
        time.sleep(0.01)
    os.abort()


def threads(training, count=1000):
    go_on = threading.Event()
    for _ in range(count):
        threading.Thread(target=go_on.wait, daemon=True).start()


def daemon_threads_at_exit(training):
    """They still run Python and MLX when the interpreter goes."""
    for _ in range(4):
        threading.Thread(target=spins, args=(training,), daemon=True).start()


def exit_in_a_thread(training):
    thread = threading.Thread(target=sys.exit, args=(5,))
    thread.start()
    thread.join()


def zombies(training, count=50):
    for _ in range(count):
        if os.fork() == 0:
            os._exit(0)


def signals_its_parents(training):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getppid(), number)


# --- what it stands on


def closes_every_file(training):
    os.closerange(0, 4096)


def closes_its_output(training):
    sys.stdout.close()
    os.close(1)
    os.close(2)


def changes_folder(training):
    os.chdir("/")


def deletes_its_temporary_folder(training):
    shutil.rmtree(os.environ["TMPDIR"])


def may_open_nothing(training):
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def may_write_nothing(training):
    """What a quota does: no file may grow any more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def may_write_nothing_for_a_while(training):
    may_write_nothing(training)
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def fills_the_disk(training):
    """To the last byte, and soon into the middle of a beat."""
    filler = record() / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(100))
    return filler.unlink


def time_stands_back(training):
    """Somebody set the clock: the wall clock alone."""
    true_time = time.time
    time.time = lambda: true_time() - 1e6 * training.step


# --- what it writes


def floods(training, size=1 << 28):
    block = memoryview(b"x" * (1 << 20))
    for _ in range(size >> 20):
        rest = block
        while rest:
            rest = rest[os.write(1, rest) :]


def not_text(training):
    os.write(1, bytes(range(256)) + b"\xff\xfe end of the bytes\n")
    raise ValueError("after the bytes")


def terminal_escapes(training):
    os.write(1, b"\x1b[2J\x1b[31mred\x1b]0;a title\x07 \x1b[8mhidden\x1b[0m]]> </failure>\n")
    raise ValueError("after the \x1b[31mescapes\x1b[0m ]]> </failure> \x00")


# --- what it does to its record


def tears_its_record(training):
    """Half a beat, garbage, JSON that is no beat, a line of megabytes, and a beat of no kind."""
    with (record() / "beats.jsonl").open("ab") as file:
        file.write(b'{"k":"step","t":1.0,"st\n')
        file.write(bytes(range(11, 256)) + b"\n")
        file.write(b"[" * 100_000 + b"\n")
        file.write(b"x" * (3 << 20) + b"\n")
        file.write(b'{"k":"unheard of","t":1.0}\n')


def deletes_its_record(training):
    (record() / "beats.jsonl").unlink()


def truncates_its_record(training):
    os.truncate(record() / "beats.jsonl", 0)


def deletes_its_slot(training):
    (record() / "now.bin").unlink()


def garbles_its_slot(training):
    slot = record() / "now.bin"
    with slot.open("r+b") as file:
        file.write(os.urandom(slot.stat().st_size))


def deletes_its_folder(training):
    shutil.rmtree(record())


def deletes_the_whole_run(training):
    shutil.rmtree(record().parents[1])


# --- what others do to it


def waits_for_a_signal(training):
    """Slow, not dead, until the test has done its part and made the file GO."""
    Path(os.environ["READY"]).write_text(str(os.getpid()))
    while not Path(os.environ["GO"]).exists():
        sum(range(100_000))
        time.sleep(0.05)


def hangs_until_a_signal(training):
    """Dead, as far as anybody inside can tell."""
    woken = threading.Event()
    signal.signal(signal.SIGUSR2, lambda *_: woken.set())
    Path(os.environ["READY"]).write_text(str(os.getpid()))
    woken.wait()


def hangs_and_fails_at_a_signal(training):
    hangs_until_a_signal(training)
    raise RuntimeError("woken")


def hangs_and_exits_at_a_signal(training):
    hangs_until_a_signal(training)
    os._exit(7)


def hangs_in_odd_repeats(training):
    if int(record().name) % 2:
        threading.Event().wait()


def hangs_twice_until_a_signal(training):
    hangs_until_a_signal(training)
    return lambda: hangs_until_a_signal(training)


def nothing(training):
    pass


def child_of_its_own_session(training):
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    waits_for_a_signal(training)


def waits_deaf_to_term(training):
    """Says that it was told to end, and goes on waiting."""
    signal.signal(signal.SIGTERM, lambda *_: Path(os.environ["READY"]).write_text("TERM"))
    waits_for_a_signal(training)
