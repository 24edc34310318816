"""The time until all is quiet once the last grace is over, escapees included.

    python benchmarks/reap.py [--quick] [--runs 50] [--out FILE.json]

Every run starts a tree of processes under a guard, waits until all of it is there, and asks for it
to be ended with a grace of 0.5 s. Where something ignores TERM, the time counts from the end of
the grace to the guard's word that nothing is left, which is then checked; where nothing does, from
the request. `orphaned` is the time after the grace a guard leaves when its supervisor was killed.

Measure: 100 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import figures, machine, save, shown, table
from harness.supervise.guarding.main import ORPHAN_GRACE
from harness.supervise.launch import Launched

ROOT = Path(__file__).resolve().parents[1]
GRACE_S = 0.5

TREE = """
import os, signal, sys, time
deaf, escapees, size, stopped, ready = (*map(int, sys.argv[1:5]), sys.argv[5])
if deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def there():
    open(f"{ready}/{os.getpid()}", "w").close()
def sit():
    there()
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        time.sleep(600)
for _ in range(escapees):  # a double fork, with a session of its own
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sit()
        os._exit(0)
    os.wait()
for _ in range(size):
    if os.fork() == 0:
        sit()
sit()
"""
SHAPES = {
    # name: deaf to TERM, escapees, further children, stopped
    "one process": (0, 0, 0, 0),
    "deaf to TERM": (1, 0, 0, 0),
    "stopped": (1, 0, 0, 1),
    "10 escapees": (0, 10, 0, 0),
    "10 deaf escapees": (1, 10, 0, 0),
    "200 deaf processes": (1, 20, 179, 0),
}


def processes(shape: tuple[int, int, int, int]) -> int:
    return 1 + shape[1] + shape[2]


def wait_for(ready: Path, count: int) -> list[int]:
    """The pids of the tree, once all of it is there."""
    while len(found := [int(file.name) for file in ready.iterdir()]) < count:
        time.sleep(0.01)
    return found


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that still are processes; a zombie is none."""
    left = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                left.append(pid)
    return left


def command(shape: tuple[int, int, int, int], ready: Path) -> list[str]:
    return [sys.executable, "-c", TREE, *map(str, shape), str(ready)]


def reap(shape: tuple[int, int, int, int]) -> float:
    """Seconds from the end of the grace, or the request, until the guard says that all is quiet."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as ready:
        launched = Launched(command(shape, Path(ready)), Path(folder))
        pids = wait_for(Path(ready), processes(shape))
        asked = time.monotonic()
        launched.reap(GRACE_S)
        while not launched.quiet:
            select.select([launched.channel], [], [])
            launched.listen()
        took = time.monotonic() - asked
        if left := alive(pids):
            raise SystemExit(f"not quiet: {left} still live")
        launched.close(keep_kernels=False)
    return took - GRACE_S if shape[0] else took


SUPERVISOR = """
import sys, time
from pathlib import Path
from harness.supervise.launch import Launched
launched = Launched(sys.argv[2:], Path(sys.argv[1]))
time.sleep(600)
"""


def orphaned(shape: tuple[int, int, int, int]) -> float:
    """Seconds from the end of the guard's own grace until all is gone, by looking every 2 ms."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as ready:
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, folder, *command(shape, Path(ready))], cwd=ROOT
        )
        pids = wait_for(Path(ready), processes(shape))
        asked = time.monotonic()
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        while alive(pids):
            time.sleep(0.002)
        return time.monotonic() - asked - ORPHAN_GRACE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three runs of each")
    parser.add_argument("--runs", type=int, help="of each shape (50)")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runs = arguments.runs or (3 if arguments.quick else 50)
    measured = {name: [reap(shape) for _ in range(runs)] for name, shape in SHAPES.items()}
    deaf = "10 deaf escapees"
    measured[f"orphaned, {deaf}"] = [orphaned(SHAPES[deaf]) for _ in range(runs)]
    results = [
        {"tree": name, "runs": runs, "seconds": figures(times)} for name, times in measured.items()
    ]
    rows = [
        [name, str(runs), *(shown(figures(times)[key]) for key in ("median", "p95", "max"))]
        for name, times in measured.items()
    ]
    print(table(("tree", "runs", "quiet s", "p95", "max"), rows))
    print(f"on {machine()}")
    save(arguments.out, "reap", results)


if __name__ == "__main__":
    main()
