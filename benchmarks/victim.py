"""A training run of chosen step time, with a stall or something harmless in one of its steps.

The variable VICTIM names, as JSON: the `event` (a function below), the step `at` which it happens,
`step_s`, the seconds of every other step, and whether they are `computed` or slept. `long_s` is the
duration of a harmless event, `port` that of a server outside. Just before the event the time of the
monotonic clock is written to the file `event` in the run's folder, and after it to `event_over`.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import lzma
import multiprocessing
import os
import queue
import re
import shlex
import signal
import socket
import struct
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
LONG_S: float = ASKED.get("long_s", 12.0)
"""The duration of a harmless event: long enough to be taken for a stall."""
SHORT_S = LONG_S / 2
"""And one that shows no progress of any kind."""


def make_step(training: Any) -> Callable[[], mx.array]:
    event = globals()[ASKED["event"]]

    def step() -> mx.array:
        if training.step == ASKED["at"]:
            note()
            event()
            note("event_over")
        elif ASKED["computed"]:
            compute(ASKED["step_s"])
        else:
            time.sleep(ASKED["step_s"])
        return mx.array(1.0 / (1 + training.step))

    return step


def note(what: str = "event") -> None:
    (Path(sys.argv[1]).parent / what).write_text(repr(time.monotonic()))


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


def processes_in_a_circle() -> None:
    """Two processes that each wait for what the other is to write first."""
    code = "import os; os.write(1, b'!'); os.read(0, 1); os.write(1, b'!')"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert child.stdout is not None
    child.stdout.read(1)
    note()  # it is up
    child.stdout.read(1)


def pool_of_a_killed_worker() -> None:
    """The pool starts another one, and the task of the killed one is never done."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        result = pool.apply_async(time.sleep, (100_000,))
        (worker,) = multiprocessing.active_children()
        time.sleep(0.3)
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        note()
        result.get()


def joined_trainer() -> None:
    """What trains is a thread, and the main one joins it."""
    thread = threading.Thread(target=two_locks, daemon=True)
    thread.start()
    thread.join()


def silent_peer() -> None:
    here, there = socket.socketpair()
    here.recv(1)
    there.close()


def silent_server() -> None:
    """A server outside that works on an answer for ever."""
    call(1e6)


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
    kernel(1 << 62)


def kernel(nanoseconds: int) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenarios" / "controls"))
    from _gpu import busy  # type: ignore[import-not-found]

    mx.eval(busy(nanoseconds))


# --- stalls that end


def late_answer() -> None:
    call(LONG_S)


def late_poll() -> None:
    poll_for(LONG_S)


def late_loop() -> None:
    """A loop in which no variable changes that can be seen, but the clock's."""
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        pass


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


def sorting() -> None:
    data = [hash(str(number)) for number in range(2_000_000)]
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        sorted(data)


def hashing() -> None:
    """One call of a library, in one function of it."""

    def seconds(rounds: int) -> float:
        began = time.monotonic()
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)
        return time.monotonic() - began

    seconds(int(200_000 * LONG_S / seconds(200_000)))


def collecting() -> None:
    """Collections of garbage, of which there is none."""
    kept = [[number] for number in range(2_000_000)]
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        gc.collect()
    kept.clear()


def long_search() -> None:
    """One search with a regular expression, which is as long as its text is."""

    def seconds(size: int) -> float:
        began = time.monotonic()
        re.search(r"(a+b?)+c", "a" * size)
        return time.monotonic() - began

    # Each further letter doubles it.
    size = 20
    while seconds(size) < LONG_S / 3:
        size += 1


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


def computing(seconds: float) -> list[str]:
    """The command of a child that computes for so long."""
    code = "import sys, time; t = time.monotonic() + float(sys.argv[1])\n"
    code += "while time.monotonic() < t: sum(range(10_000))"
    return [sys.executable, "-c", code, str(seconds)]


def computing_children() -> None:
    """Two at once, as a loader's workers; the trainer waits for both."""
    children = [subprocess.Popen(computing(LONG_S)) for _ in range(2)]
    for child in children:
        child.wait()


def unaccepted_connections() -> None:
    """Servers that are busy, and accept a connection when they have done their work."""
    with tempfile.TemporaryDirectory() as folder:
        for here in (socket.create_server(("127.0.0.1", 0)), _local_server(Path(folder) / "s")):
            child = _forked(_accept_late, here)
            with socket.socket(here.family) as client:
                client.connect(here.getsockname())
                client.recv(1)
            os.waitpid(child, 0)
            here.close()


def _accept_late(server: socket.socket) -> None:
    time.sleep(SHORT_S)
    server.accept()[0].send(b"!")


def _local_server(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def _forked(does: Callable[[socket.socket], None], server: socket.socket) -> int:
    """A child that does something with a server and ends."""
    pid = os.fork()
    if pid == 0:
        does(server)
        os._exit(0)
    return pid


def told_of_a_child() -> None:
    """A handler of SIGCHLD writes into a pipe of its own, and another sets an event."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    ended = threading.Event()
    signal.signal(signal.SIGCHLD, lambda *_: ended.set())
    for wait in (lambda: os.read(read, 1), ended.wait):
        ended.clear()
        before = signal.set_wakeup_fd(write)
        child = subprocess.Popen(["sleep", str(SHORT_S)])
        wait()
        child.wait()
        signal.set_wakeup_fd(before)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def timed_socket() -> None:
    """A read that ends by the socket's own timeout, which no system call shows."""
    here, there = socket.socketpair()
    timeout = struct.pack("@ll", int(LONG_S), 0)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
    with here, there:
        try:
            here.recv(1)
        except BlockingIOError:
            return


def timed_signal() -> None:
    """A wait for a signal with a timeout."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.sigtimedwait([signal.SIGUSR2], LONG_S)


def own_namespace() -> None:
    """A program in a PID namespace of its own, which waits for a child by the number it has there.

    Without the right to make one it sleeps outside.
    """
    line = f"sleep {LONG_S} & wait $!; true"
    shell = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "bash"]
    if subprocess.run([*shell, "-c", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        shell = ["bash"]
    code = "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)"
    inner = [sys.executable, "-c", code, "bash", "-c", line]
    subprocess.run([*shell, "-c", shlex.join(inner)], check=True)


def computing_pool() -> None:
    """A task of a pool of processes; the trainer waits for its result."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(python_for, [LONG_S, LONG_S / 2])


def child_behind_wrappers() -> None:
    """A shell that waits for `timeout`, which waits for what computes."""
    line = shlex.join(["timeout", "600", *computing(LONG_S)])
    subprocess.run(["bash", "-c", f"{line}; true"], check=True)


def piped_child() -> None:
    """A launcher that passes on what its child prints, in the end."""
    line = shlex.join(computing(LONG_S)) + "; echo done"
    subprocess.run(["bash", "-c", f"({line}) | cat"], check=True, capture_output=True)


def remote_call() -> None:
    """A server outside, which answers when it has done its work."""
    call(LONG_S)


def call(seconds: float) -> None:
    with socket.create_connection(("127.0.0.1", ASKED["port"])) as here:
        here.sendall(f"{seconds}\n".encode())
        here.recv(1)


def slow_disk() -> None:
    """A file of which a little comes every few seconds: a pipe with a name stands for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        os.mkfifo(path)
        code = "import sys, time\nwith open(sys.argv[1], 'wb', 0) as file:\n"
        code += "    for _ in range(4): time.sleep(float(sys.argv[2])); file.write(bytes(100))"
        child = subprocess.Popen([sys.executable, "-c", code, str(path), str(LONG_S / 4)])
        path.read_bytes()
        child.wait()


def native_threads() -> None:
    """One evaluation, which MLX's own thread computes."""
    x = mx.random.normal((512, 512)) / 23
    began = time.monotonic()
    for _ in range(8):
        mx.eval(x @ x)
    count = int(8 * LONG_S / (time.monotonic() - began))
    y = x
    for _ in range(min(count, 100_000)):
        y = y @ x
    mx.eval(y)


def native_sleeper() -> None:
    """A thread that Python does not know of sleeps, and is joined."""
    library, thread = ctypes.CDLL(None), ctypes.c_ulong()
    library.pthread_create(ctypes.byref(thread), None, library.sleep, ctypes.c_void_p(int(LONG_S)))
    library.pthread_join(thread, None)


def long_gpu_kernel() -> None:
    """Only on an NVIDIA GPU."""
    kernel(int(LONG_S * 1e9))


def many_threads() -> None:
    """2,000 threads that sleep, beside the steps."""
    threading.stack_size(1 << 16)
    for _ in range(MANY):
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def many_asleep() -> None:
    """The same, and the trainer sleeps too."""
    many_threads()
    time.sleep(FOR_LONG_S)


def many_in_locks() -> None:
    """The trainer waits for one of them, which sleeps; all others wait without a timeout."""
    many_threads()
    sleeper = threading.Thread(target=time.sleep, args=(FOR_LONG_S,), daemon=True)
    sleeper.start()
    sleeper.join()


MANY, FOR_LONG_S = 2000, 3000.0
