"""Reductions of ten faulty programs.

    python benchmarks/reduces.py [NAME ...] [--within SECONDS] [--pairs N] [--out FILE.json]

The programs lie in benchmarks/reducible/, two of them scenarios on the built-in tiny model, some
with local modules, arguments, threads, processes and coroutines. Measure: at most 25 lines of code
each are left, 15 in the median, with the same fingerprint, in under 3 minutes on two cores. The
load is written down. With `--pairs`, so many run side by side, each on two cores of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import argparse
import json
import os
import queue
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.common import commit, machine, save, table
from harness.reduce import reduce
from harness.stats import median

FOLDER = Path(__file__).with_name("reducible")
PROGRAMS = {
    "two_locks": "two threads, two locks",
    "dead_producer": "the thread of a loader dies, its queue is waited for",
    "dead_pool": "a worker of a pool dies",
    "last_batch": "an exception: shapes of the last batch",
    "log_of_zero": "NaN",
    "event_loop": "a future that nobody sets",
    "checkpoint_lock": "a lock taken twice, on the tiny model",
    "full_pipe": "a child whose pipe is full",
    "late_error": "an exception, on the tiny model",
    "lonely_barrier": "a barrier that one thread never reaches",
}
"""Name of each program, and its fault."""
SCENARIOS = ("checkpoint_lock", "late_error")


def measured(name: str, within: float | None) -> tuple[dict[str, Any], str]:
    """The figures of a reduction, and the file that it left. It works in the program's folder."""
    file = f"{name}.py"
    source: Any = file if name in SCENARIOS else [sys.executable, file]
    load, began, cpu = os.getloadavg()[0], time.monotonic(), os.times()
    found: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as out:
        result = reduce(
            source,
            out=out,
            deadline=within,
            on_progress=lambda now: found.append((time.monotonic() - began, now.lines)),
        )
        text = result.path.read_text(encoding="utf-8")
    after = os.times()
    used = sum(after[:4]) - sum(cpu[:4])
    row = {
        "fault": PROGRAMS[name],
        "before": result.original_lines,
        "lines": result.lines,
        "at_60_s": min((lines for at, lines in found if at <= 60), default=None),
        "tries": result.tries,
        "seconds": round(result.seconds, 1),
        "cpu_s": round(used, 1),
        "ended_by_itself": not result.interrupted,
        "verified": result.verified,
        "symptom": result.symptom,
        "mark": result.mark,
        "needs": list(result.needs),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
    }
    return row, text


def side_by_side(
    names: list[str], within: float, pairs: int, script: Path
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each program's row and file, from a process of its own on two cores of its own."""
    cores = sorted(os.sched_getaffinity(0))
    free: queue.Queue[list[int]] = queue.Queue()
    for at in range(pairs):
        free.put(cores[2 * at : 2 * at + 2])

    def one(name: str) -> tuple[str, dict[str, Any], str]:
        pair = free.get()
        try:
            done = subprocess.run(
                ["taskset", "-c", ",".join(map(str, pair)), sys.executable, script, name,
                 "--within", str(within), "--row"],
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
        finally:
            free.put(pair)
        row, text = json.loads(done.stdout)
        return name, row, text

    with ThreadPoolExecutor(pairs) as pool:
        yield from pool.map(one, names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(PROGRAMS))
    parser.add_argument("--within", type=float, default=170.0)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--row", action="store_true", help="print one row and its file as JSON")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    out = arguments.out.resolve() if arguments.out else None
    script = Path(__file__).resolve()
    os.chdir(FOLDER)
    if arguments.row:
        print(json.dumps(measured(arguments.names[0], arguments.within)))
        return
    rows: dict[str, dict[str, Any]] = {}
    results = (
        side_by_side(arguments.names, arguments.within, arguments.pairs, script)
        if arguments.pairs
        else ((name, *measured(name, arguments.within)) for name in arguments.names)
    )
    for name, row, text in results:
        print(name, row, text, sep="\n", flush=True)
        rows[name] = row
        save(
            out,
            "reduces",
            {
                "within_s": arguments.within,
                "median_lines": median([one["lines"] for one in rows.values()]),
                "most_lines": max(one["lines"] for one in rows.values()),
                "verified": sum(one["verified"] for one in rows.values()),
                "programs": rows,
            },
        )
    columns = ("before", "at_60_s", "lines", "tries", "seconds", "cpu_s")
    print(table(("program", *columns), [[name, *(str(row[c]) for c in columns)]
                                        for name, row in rows.items()]))  # fmt: skip
    print(f"on {machine()}, {commit()}")


if __name__ == "__main__":
    main()
