"""The child that is recorded: its threads, pipe and children are known, and it tells them.

It runs as a file of its own. It prints a line of JSON once it is ready, and one for each line that
it reads. On `fork` a child of it leaves its session, forks and ends. With `gpu` it keeps the GPU at
work, where MLX has one.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

CACHES = 65538
"""_CS_DARWIN_USER_CACHE_DIR, which Python has no name for."""
ENOUGH_S = 1.0
"""The CPU time by which ticks can be told from nanoseconds."""
LONG = (
    "uint i = thread_position_in_grid.x; float x = a[i];"
    " for (uint n = 0; n < 300000000u; n++) x = fma(x, 0.999f, 0.5f); out[i] = x;"
)
"""A kernel that takes a second or so: one command of the GPU."""


class Child:
    def __init__(self, gpu: bool) -> None:
        self._end = threading.Event()
        self._main, self._begun, self._pipe = threading.get_native_id(), time.time(), os.pipe()
        self._terminal = os.openpty()
        self._ids: dict[str, int] = {}
        self._used: dict[str, float] = {}
        self._pthreads = {"main": threading.get_ident()}
        for name, work in (("waits", self._waits), ("sleeps", sleeps), ("spins", self._spins)):
            threading.Thread(target=self._run, args=(name, work), name=name, daemon=True).start()
        self._sleeper = os.posix_spawn("/bin/sleep", ["/bin/sleep", "600"], dict(os.environ))
        self._gpu = work_of_gpu() if gpu else None
        while len(self._ids) < 3 or self._used.get("spins", 0.0) < ENOUGH_S:
            time.sleep(0.01)

    def _run(self, name: str, work: Callable[[], object]) -> None:
        self._pthreads[name] = threading.get_ident()
        self._ids[name] = threading.get_native_id()
        work()

    def _waits(self) -> None:
        self._end.wait()

    def _spins(self) -> None:
        while not self._end.is_set():
            for _ in range(20_000):
                pass
            self._used["spins"] = time.thread_time()
            if self._used["spins"] > ENOUGH_S:
                time.sleep(0.05)

    def report(self) -> None:
        """Print what this process is."""
        told = {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "begun": self._begun,
            "main": self._main,
            "threads": self._ids,
            "pthreads": self._pthreads,
            "cpu_s": time.process_time(),
            "thread_cpu_s": self._used,
            "pipe": self._pipe,
            "terminal": self._terminal[1],
            "clock": time.get_clock_info("monotonic").implementation,
            "sleeper": self._sleeper,
            "gpu": self._gpu is not None,
            "caches_in_tmpdir": in_tmpdir(caches()),
            "in_tmpdir": sorted(os.listdir(os.environ["TMPDIR"])),  # noqa: PTH208  # the names alone
        }
        print(json.dumps(told), flush=True)

    def listen(self) -> None:
        """Answer each line of the input, and end with it."""
        self.report()
        for line in sys.stdin:
            if line.strip() == "fork":
                leave()
            self.report()
        self._end.set()

    def run(self) -> None:
        """Until the input ends."""
        threading.Thread(target=self.listen, name="reads", daemon=True).start()
        while not self._end.is_set():
            if self._gpu is None:
                self._end.wait(0.05)
            else:
                self._gpu()
        os.kill(self._sleeper, 9)


def sleeps() -> None:
    time.sleep(600)


def leave() -> None:
    """Fork a child that leaves its session, forks, and ends before its own child."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(0.2)
        time.sleep(0.1)
        os._exit(0)
    os.waitpid(pid, 0)


def caches() -> str | None:
    """The folder of this user's caches, in which Metal has its own; None where there is none."""
    try:
        return os.confstr(CACHES)
    except (OSError, ValueError):
        return None


def in_tmpdir(folder: str | None) -> bool | None:
    """True if `folder` follows TMPDIR."""
    if folder is None:
        return None
    own = os.path.realpath(os.environ["TMPDIR"])
    return os.path.realpath(folder).startswith(own + os.sep)


def work_of_gpu() -> Callable[[], object] | None:
    """A piece of work for the GPU; None where MLX has none."""
    try:
        mx: Any = importlib.import_module("mlx.core")
        mx.set_default_device(mx.gpu)
        shape, kind = (64,), mx.float32
        kernel = mx.fast.metal_kernel(
            name="long", input_names=["a"], output_names=["out"], source=LONG
        )
        given: dict[str, Any] = {"grid": (64, 1, 1), "threadgroup": (64, 1, 1)}
        given |= {"output_shapes": [shape], "output_dtypes": [kind]}

        def work() -> object:
            return mx.eval(kernel(inputs=[mx.ones(shape, kind)], **given))

        work()
    except Exception:  # whatever MLX raises there: the folder says that there was none
        return None
    return work


if __name__ == "__main__":
    Child("gpu" in sys.argv[1:]).run()
