"""The share of a core that the supervisor takes, with few and many workers, ranks and threads.

    python benchmarks/supervisor.py [--seconds 30] [--cases NAME ...] [--quick] [--minutes M]
                                    [--out FILE.json]

Each case is a healthy run, watched for a while in the midst of its steps. The CPU time of the
supervisor is read before and after, and so is that of its guards, one for each worker. What it has
started itself, such as stack tools, is counted with it once it has ended.

Measure: 1 % of a core for each worker, 5 % where the tree has 2,000 threads.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import VICTIM, Deadline, machine, save, table

ROOT = Path(__file__).resolve().parents[1]
LIMIT, LIMIT_OF_MANY = 0.01, 0.05
SETTLE_S = 3.0
"""After the last run has come to its steps."""
START_S = 120.0
"""A worker that has not come to its steps by then never will."""


class Case(NamedTuple):
    """One kind of run. `event` is that of the victim, in the first of its steps."""

    workers: int
    options: tuple[str, ...] = ()
    event: str = "nothing"
    step_s: float = 0.1
    limit: float = LIMIT

    @property
    def folders(self) -> int:
        """The folders in which workers note their event: ranks share that of their run."""
        return 1 if "--ranks" in self.options else self.workers


CASES = {
    "1 worker": Case(1),
    "1 worker, steps of 5 ms": Case(1, step_s=0.005),
    "10 workers": Case(10, ("--repeat", "10", "--jobs", "10")),
    "8 ranks": Case(8, ("--ranks", "8", "--backend", "ring")),
    "2,000 threads": Case(1, event="many_threads", limit=LIMIT_OF_MANY),
    "2,000 threads, all asleep": Case(1, event="many_asleep", limit=LIMIT_OF_MANY),
    "2,000 threads, all in locks": Case(1, event="many_in_locks", limit=LIMIT_OF_MANY),
}
QUICK = ("1 worker", "2,000 threads")


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """The supervisor's and its guards' share of a core in one run."""
    asked = {"event": case.event, "step_s": case.step_s, "at": 1, "computed": False}
    with tempfile.TemporaryDirectory() as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "harness", "run", str(VICTIM), *case.options),
                *("--steps", "1000000", "--budget", "3600", "--out", out, "--json"),
            ],
            cwd=ROOT,
            env={**os.environ, "VICTIM": json.dumps(asked)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            await_steps(process, Path(out), case.folders)
            return watched(psutil.Process(process.pid), seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def await_steps(process: subprocess.Popen[bytes], out: Path, folders: int) -> None:
    """Wait until the event of each run has come. Raises SystemExit when one does not."""
    end = time.monotonic() + START_S
    while len(list(out.rglob("event"))) < folders:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            assert process.stderr is not None
            raise SystemExit(f"no steps came: {process.stderr.read().decode()}")
        time.sleep(0.1)
    time.sleep(SETTLE_S)


def watched(supervisor: psutil.Process, seconds: float) -> dict[str, Any]:
    guards = supervisor.children()
    threads = sum(one.num_threads() for one in supervisor.children(recursive=True))
    began = time.monotonic()
    before = used([supervisor]), used(guards)
    time.sleep(seconds)
    after = used([supervisor]), used(guards)
    passed = time.monotonic() - began
    return {
        "threads": threads,
        "seconds": passed,
        "supervisor": (after[0] - before[0]) / passed,
        "guards": (after[1] - before[1]) / passed,
        "rss": supervisor.memory_info().rss,
    }


def used(processes: Sequence[psutil.Process]) -> float:
    """CPU seconds of these processes and of the tools that they have waited for."""
    times = [one.cpu_times() for one in processes]
    return sum(one.user + one.system + one.children_user + one.children_system for one in times)


HEAD = ("case", "threads", "supervisor, % of a core", "guards", "of each worker", "limit", "MiB")


def row(one: dict[str, Any]) -> list[str]:
    return [
        one["case"],
        f"{one['threads']:,}",
        f"{100 * one['supervisor']:.2f}",
        f"{100 * one['guards']:.2f}",
        f"{100 * one['of_each']:.2f}" + (" !" if one["of_each"] > one["limit"] else ""),
        f"{100 * one['limit']:g}",
        f"{one['rss'] / 2**20:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, help="of each case (30; quick: 10)")
    parser.add_argument("--cases", nargs="+", choices=list(CASES))
    parser.add_argument("--quick", action="store_true", help="two cases, 10 s each")
    parser.add_argument("--minutes", type=float, help="start no case that would end later")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seconds = arguments.seconds or (10.0 if arguments.quick else 30.0)
    deadline = Deadline(arguments.minutes)
    results: list[dict[str, Any]] = []
    print(table(HEAD, []), file=sys.stderr)
    for name in arguments.cases or (QUICK if arguments.quick else CASES):
        if not deadline.leaves(seconds + 20.0):
            print(f"{name}: no time left", file=sys.stderr)
            continue
        case = CASES[name]
        found = measure(case, seconds)
        of_each = (found["supervisor"] + found["guards"]) / case.workers
        results.append({"case": name, "limit": case.limit, "of_each": of_each} | found)
        print(*row(results[-1]), sep="  ", file=sys.stderr, flush=True)
        save(arguments.out, "supervisor", results)
    print(table(HEAD, [row(one) for one in results]))
    print(f"on {machine()}")


if __name__ == "__main__":
    main()
