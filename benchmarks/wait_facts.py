"""What it costs to find out for whom a process waits, on a machine with many processes.

    python benchmarks/wait_facts.py [--processes 300] [--looks 5] [--out FILE.json]

Processes are started until the machine has so many. Each has a pipe, a local socket and an eventfd,
and maps shared memory. Then each source is asked of a process that waits, some times over. The time
of the median is given, and the CPU time that goes with it.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save, table
from harness.model import Process, Thread
from harness.observe import gpu, linux
from harness.observe.linux import file_peers, freezer, futexes, mounts, reading, sockets
from harness.observe.linux.file_table import FileTable

ARCH = platform.machine()
FILLER = """
import mmap, os, socket
shared = mmap.mmap(-1, 4096)
ends, pair, event = os.pipe(), socket.socketpair(), 0
for _ in range({children}):
    if not os.fork(): break
print("up", flush=True)
os.read(ends[0], 1)
"""
WAITS = {
    "a Python lock": "import threading; one = threading.Lock(); one.acquire(); up(); one.acquire()",
    "an RLock": (
        "import threading; one = threading.RLock(); held = threading.Event()\n"
        "def hold(): one.acquire(); held.set(); time.sleep(600)\n"
        "threading.Thread(target=hold, daemon=True).start(); held.wait(); up(); one.acquire()"
    ),
    "a shared semaphore": (
        "import multiprocessing; one = multiprocessing.Lock(); one.acquire(); up(); one.acquire()"
    ),
    "a pipe": "ends = os.pipe(); up(); os.read(ends[0], 1)",
    "a local socket": "import socket; one, two = socket.socketpair(); up(); one.recv(1)",
    "a TCP connection": (
        "import socket; one = socket.create_server(('127.0.0.1', 0))\n"
        "two = socket.create_connection(one.getsockname()); up(); two.recv(1)"
    ),
    "a lock on a file": (
        "import fcntl, tempfile; one = tempfile.NamedTemporaryFile(); two = open(one.name)\n"
        "fcntl.flock(one, fcntl.LOCK_EX); up(); fcntl.flock(two, fcntl.LOCK_EX)"
    ),
    "a file in an epoll": (
        "import select; one = select.epoll(); one.register(os.pipe()[0]); up(); one.poll()"
    ),
}
BEGIN = "import os, time\ndef up(): print('up', flush=True)\n"
SETTLE_S = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=300, help="on the machine (default: 300)")
    parser.add_argument("--looks", type=int, default=5, help="for each figure (default: 5)")
    parser.add_argument("--out", type=Path, help="write the figures to this file, as JSON")
    asked = parser.parse_args()
    filler = fill(asked.processes)
    try:
        figures = measure(asked.looks)
    finally:
        for process in reversed(linux.processes([filler.pid])):
            os.kill(process.pid, 9)
        filler.wait()
    rows = [
        [one["source"], f"{one['wall_ms']:.2f}", f"{one['cpu_ms']:.2f}"] for one in figures["rows"]
    ]
    print(machine())
    print(f"{figures['processes']} processes, {figures['files']} open files")
    print(table(["source", "ms", "of CPU"], rows))
    save(asked.out, "wait_facts", figures)
    return 0


def fill(most: int) -> subprocess.Popen[str]:
    missing = max(0, most - len(reading.numbers("/proc")) - 1)
    program = FILLER.format(children=missing)
    process = start(program)
    for _ in range(missing):
        assert process.stdout is not None
        process.stdout.readline()
    return process


def start(program: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def measure(looks: int) -> dict[str, Any]:
    table = file_peers.Ends().table
    files = sum(len(holders) for _, holders in table.named(""))
    rows = [
        figure("who has which file open", looks, lambda: list(file_peers.Ends().table.named(""))),
        figure("the kernel's list of local sockets", looks, sockets.locals_),
        figure("the mounts", looks, lambda: mounts.mounts(os.getpid())),
        figure("frozen, of one process", looks, lambda: freezer.frozen(os.getpid())),
        figure("under_oom, of one process", looks, lambda: freezer.under_oom(os.getpid())),
        figure("a deep look at ourselves", looks, lambda: linux.processes([os.getpid()], True)),
        figure("the GPU's driver", looks, lambda: gpu.gpu_use([os.getpid()])),
    ]
    for name, code in WAITS.items():
        process = start(BEGIN + code)
        try:
            one, thread = settled(process.pid)
            rows += waits(name, looks, one, thread)
        finally:
            process.kill()
            process.wait()
    return {"processes": len(reading.numbers("/proc")), "files": files, "rows": rows}


def settled(pid: int) -> tuple[Process, Thread]:
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end:
        (one, *_) = linux.processes([pid], deep=True)
        main = one.threads[0]
        if main.state == "S" and main.syscall is not None:
            return one, main
        time.sleep(0.05)
    raise SystemExit(f"process {pid} came to no wait")


def waits(name: str, looks: int, one: Process, thread: Thread) -> list[dict[str, Any]]:
    if futexes.Futexes(ARCH).of(one):
        reader = futexes.Futexes(ARCH)

        def again() -> None:
            reader.look(FileTable())
            reader.of(one)

        first = figure(f"the owner of {name}", looks, lambda: futexes.Futexes(ARCH).of(one))
        return [first, figure("the same, once more", looks, again)]
    return [
        figure(
            f"the peers of {name}",
            looks,
            lambda: file_peers.waited_for(one, thread, ARCH, file_peers.Ends()),
        )
    ]


def figure(source: str, looks: int, ask: Callable[[], object]) -> dict[str, Any]:
    walls, cpus = [], []
    for _ in range(looks):
        began, used = time.perf_counter(), time.process_time()
        ask()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - used)
    return {
        "source": source,
        "wall_ms": statistics.median(walls) * 1e3,
        "cpu_ms": statistics.median(cpus) * 1e3,
    }


if __name__ == "__main__":
    sys.exit(main())
