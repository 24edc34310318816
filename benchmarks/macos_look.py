"""The cost of a look on macOS: the calls of libproc, and the time of our own code.

    python benchmarks/macos_look.py [--threads 50] [--looks 200] [--out FILE.json]

A process with that many threads is looked at on the simulated Mac (tests/macos/darwin.c, which
needs a C compiler). The time that the library itself takes is left out: on Linux it reads /proc,
which a Mac does not. Both times are CPU time of this thread.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save
from harness.observe.macos import kernel
from harness.observe.macos.platform import MacOS
from harness.stats import median, quantile

SOURCE = Path(__file__).resolve().parents[1] / "tests" / "macos" / "darwin.c"
MANY_THREADS = """
import threading, time
for _ in range({}):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("up", flush=True)
time.sleep(600)
"""


class Timed:
    """A library whose calls are counted, and their time with them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.calls: list[str] = []
        self.spent_s = 0.0
        self._known: dict[str, Callable[..., int]] = {}

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name not in self._known:
            function = getattr(self._library, name)

            def call(*arguments: Any) -> int:
                began = time.thread_time()
                function.argtypes, function.restype = call.argtypes, ctypes.c_int  # type: ignore[attr-defined]
                answer = int(function(*arguments))
                self.spent_s += time.thread_time() - began
                self.calls.append(name)
                return answer

            self._known[name] = call
        return self._known[name]


def look(threads: int, looks: int) -> dict[str, Any]:
    """Look at a process with `threads` threads beside its main one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "darwin.so"
        command = ["cc", "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(file)]
        subprocess.run(command, check=True)
        library = Timed(ctypes.CDLL(str(file), use_errno=True))
    kernel._library = lambda path: library  # type: ignore[assignment]
    here, own, calls = MacOS("darwin", "arm64"), [], 0
    with subprocess.Popen(
        [sys.executable, "-c", MANY_THREADS.format(threads)], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            for _ in range(looks):
                library.calls.clear()
                library.spent_s, began = 0.0, time.thread_time()
                (seen,) = here.processes([process.pid])
                own.append(time.thread_time() - began - library.spent_s)
                calls = sum(name.startswith("proc_") for name in library.calls)
        finally:
            process.kill()
    number = len(seen.threads)
    return {
        "threads": number,
        "calls": calls,
        "most_calls": 4 + 2 * number,
        "own_ms": round(1e3 * median(own), 3),
        "own_p90_ms": round(1e3 * quantile(own, 0.9), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--looks", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = look(arguments.threads - 1, arguments.looks)
    print(f"{machine()}\n{found}")
    if arguments.out:
        save(arguments.out, "macos_look", found)


if __name__ == "__main__":
    main()
