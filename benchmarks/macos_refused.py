"""Healthy and hanging programs on a simulated Mac that refuses sources, with `--patience 3`.

    python benchmarks/macos_refused.py [--jobs 12] [--only SOURCE ...] [--program NAME ...]
                                       [--rounds 1 2 3] [--limit SECONDS] [--out FILE.json]

There are twelve healthy programs of four kinds, and six that hang, of two. A healthy one reports
nothing for 20 s, so that the harness would end it if it doubted what it cannot see. Each source is
refused alone, and all at once. The runs are dealt in three rounds. Each round has every source with
one program of every kind, and every program with a third of the sources. The three together have
each program with each source. Beyond the limit no run begins.

Measures: each healthy program completes. One that hangs is called hung, or it is said that
something could not be seen.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import simulated_mac
from benchmarks.common import Deadline, commit, interrupted_once, machine, save, table
from benchmarks.macos_lies import CHILD, HEAD, LAST, PROGRAMS
from benchmarks.macos_stalls import BLOCKED, GPU_WAIT
from benchmarks.situation_run import BLIND, Running

PATIENCE_S, BUDGET_S, TAKES_S = 3.0, 45.0, 60.0
ROUNDS = 3
ALL = "all"
SOURCES = (*simulated_mac.SOURCES, ALL)
SERVER = "import socket, time; s = socket.socket(fileno=0); s.recv(9); time.sleep(20); s.send(b'x')"
ASKS = f"""{HEAD}import socket
here, there = socket.socketpair()
child = subprocess.Popen([sys.executable, '-c', {SERVER!r}], stdin=there)
there.close()
here.send(b'?')
here.recv(9)
{LAST}"""
QUEUE = f"""{HEAD}import queue
items = queue.Queue()
threading.Thread(target=lambda: (time.sleep(20), items.put(1))).start()
items.get()
{LAST}"""
POOL = f"""import multiprocessing
{HEAD}def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
        sum(range(100000))
if __name__ == '__main__':
    with multiprocessing.get_context('fork').Pool(2) as pool:
        pool.map(work, [20, 20])
    {LAST}"""
WRITES = f"""{HEAD}import os, tempfile
end = time.monotonic() + 20
with tempfile.TemporaryFile() as file:
    while time.monotonic() < end:
        file.seek(0)
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        time.sleep(0.1)
{LAST}"""
EVENTS = f"""{HEAD}import asyncio
async def work():
    for _ in range(20):
        await asyncio.sleep(1)
asyncio.run(work())
{LAST}"""
BEATS = f"""{HEAD}end = time.monotonic() + 20
while time.monotonic() < end:
    time.sleep(0.05)
    sum(range(100000))
{LAST}"""
FOR_EVER = "lock = threading.Lock()\nlock.acquire()\nlock.acquire()\n"
RING = f"""{HEAD}one, other = threading.Lock(), threading.Lock()
def both(first, second):
    with first:
        time.sleep(0.5)
        with second:
            pass
beside = threading.Thread(target=both, args=(other, one), daemon=True)
beside.start()
both(one, other)
"""
KINDS = (
    # computes, in another place than the main thread
    {name: PROGRAMS[name] for name in ("child", "thread", "pipe")},
    # wakes by its own clock
    {"sleeps": f"{HEAD}time.sleep(20)\n{LAST}", "events": EVENTS, "beats": BEATS},
    # waits for a thread, for workers, for a server
    {"queue": QUEUE, "pool": POOL, "asks": ASKS},
    # waits for a child, for the GPU, for a disk
    {
        "child_sleeps": f"{HEAD}subprocess.run(['sleep', '20'])\n{LAST}",
        "gpu": f"{HEAD}time.sleep(20)\n{LAST}",
        "writes": WRITES,
    },
    # hangs, by its threads
    {
        "lock": f"{HEAD}{FOR_EVER}",
        "ring": RING,
        "joined": f"{HEAD}beside = threading.Thread(target=exec, args=({FOR_EVER!r}, globals()))\n"
        "beside.start()\nbeside.join()\n",
    },
    # hangs, by its children
    {
        "child_blocked": f"{HEAD}subprocess.run({BLOCKED})\n",
        "pipe_blocked": f"{HEAD}subprocess.run({BLOCKED}, stdout=subprocess.PIPE)\n",
        "stopped": f"{HEAD}import os, signal\nchild = subprocess.Popen({CHILD})\n"
        "os.kill(child.pid, signal.SIGSTOP)\nchild.wait()\n",
    },
)
"""Kinds of programs: as many of each as there are rounds."""
HANGING = {name for kind in KINDS[-2:] for name in kind}
EVERY = {name: program for kind in KINDS for name, program in kind.items()}


def dealt(rounds: Sequence[int]) -> Iterator[tuple[str, str]]:
    """A third of all pairs of a source and a program in each round: each source with one program
    of each kind."""
    for turn in rounds:
        for row, name in enumerate(EVERY):
            for column, source in enumerate(SOURCES):
                if (row + column) % ROUNDS == turn - 1:
                    yield source, name


def watch(harness: tuple[str, ...], source: str, name: str, running: Running) -> dict[str, Any]:
    """One program under `harness watch`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        script = Path(folder, f"it_{name}.py")  # a module of Python has the name of one
        script.write_text(EVERY[name])
        gpu = {"SAMPLE_TEXT": str(GPU_WAIT), "IOREG_CLIENTS": script.name, "IOREG_GROWS": "1"}
        tools = gpu if name == "gpu" else {}
        sources = simulated_mac.SOURCES if source == ALL else (source,)
        command = [*harness, "watch", "--patience", str(PATIENCE_S), "--budget", str(BUDGET_S)]
        command += ["--json", "--out", folder, "--", sys.executable, str(script)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, **simulated_mac.refusals(sources), **tools}
        with running.started(command, env=environment, **pipes) as process:
            out, told = (each.decode("utf-8", "replace") for each in process.communicate())
    run = {"source": source, "program": name, "healthy": name not in HANGING}
    if not out or "Traceback" in told:
        return {**run, "outcome": "raised", "proven": False, "blind": False, "says": told[-500:]}
    (result,) = json.loads(out)["results"]
    cause = result.get("cause") or {}
    return {
        **run,
        "outcome": result["outcome"],
        "proven": bool(cause.get("proven")),
        "blind": BLIND in told,
        "says": cause.get("summary") or result.get("reason") or "",
    }


def right(run: dict[str, Any]) -> bool:
    """True if a healthy run completed, or if one that hangs was called so, or said to be unseen."""
    if run["healthy"]:
        return bool(run["outcome"] == "completed")
    return bool(run["outcome"] == "hung" or (run["outcome"] == "unfinished" and run["blind"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=12, help="runs at once (12)")
    parser.add_argument("--only", nargs="+", choices=SOURCES, default=SOURCES, metavar="SOURCE")
    parser.add_argument("--program", nargs="+", choices=EVERY, default=[*EVERY], metavar="NAME")
    parser.add_argument(
        "--rounds", nargs="+", type=int, choices=(1, 2, 3), default=(1, 2, 3), help="(all)"
    )
    parser.add_argument("--limit", type=float, help="seconds in which all runs end")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    tasks = [
        (source, name)
        for source, name in dealt(arguments.rounds)
        if source in arguments.only and name in arguments.program
    ]
    limit = Deadline(None if arguments.limit is None else arguments.limit / 60)
    runs: list[dict[str, Any]] = []
    running, stopped = Running(), threading.Event()
    interrupted_once()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        harness = simulated_mac.on_mac(Path(folder))

        def one(task: tuple[str, str]) -> None:
            if stopped.is_set() or not limit.leaves(TAKES_S):
                return
            run = watch(harness, *task, running)
            if stopped.is_set():
                return
            runs.append(run)
            if not right(run):
                print(f"WRONG without {run['source']}, {run['program']}: {run['outcome']}: "
                      f"{run['says'][:300]}", flush=True)  # fmt: skip

        try:
            list(pool.map(one, tasks))
        except KeyboardInterrupt:
            print("interrupted: what has ended is kept")
            stopped.set()
            running.end()
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        by_source[run["source"]].append(run)
    rows = []
    for source in (source for source in SOURCES if source in by_source):
        own = by_source[source]
        healthy = [run for run in own if run["healthy"]]
        hanging = [run for run in own if not run["healthy"]]
        rows.append([source, f"{sum(map(right, healthy))} of {len(healthy)}",
                     f"{sum(run['outcome'] == 'hung' for run in hanging)} of {len(hanging)}",
                     str(sum(run["blind"] for run in own)),
                     str(sum(not right(run) for run in own))])  # fmt: skip
    print(table(("refused", "healthy completed", "hangs called", "blind said", "wrong"), rows))
    print(f"{len(runs)} of {len(tasks)} runs, {sum(map(right, runs))} right")
    print(f"on {machine()}, {commit()}")
    result = {"patience": PATIENCE_S, "pairs": len(tasks), "runs": runs}
    save(arguments.out, "macos_refused", result)
    sys.exit(0 if all(map(right, runs)) else 1)


if __name__ == "__main__":
    main()
