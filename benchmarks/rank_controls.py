"""Whether the controls of several ranks get the right culprit and reason, again and again.

    python benchmarks/rank_controls.py [--ranks 2,4,8] [--repeat 10] [--cores 2] [--lanes N]
                                       [--out FILE.json] [CONTROL ...]

Each lane is a process of its own that is bound to so many cores and runs its share of the controls
one after the other: a machine of 16 cores is eight machines of two. More lanes than there are cores
for share them.

Measures: 10 of 10 of every control; a rank that is gone is reported within 5 s, a stopped one
within 10 s, counted from what it did last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from rich.console import Console

from benchmarks.common import machine, save, table
from harness import plan, scenario, selftest
from harness.beatfile import read_position
from harness.cli.selftest import BUDGET_S
from harness.execute import execute
from harness.model import ScenarioResult, Settings
from harness.plan import Options
from harness.screen import Screen
from harness.stats import median
from harness.supervise.job import Job

ROOT = Path(__file__).resolve().parents[1]


class Told(Screen):
    """A screen that remembers when each job was first said to have come to grief."""

    def __init__(self, console: Console, total: int) -> None:
        super().__init__(console, total, quiet=True, verbose=False)
        self.after: dict[int, float] = {}

    def looked(self, jobs: Sequence[Job]) -> None:
        super().looked(jobs)
        for job in jobs:
            if "rank" in job.judgement.reason and job.spec.repeat not in self.after:
                self.after[job.spec.repeat] = since_the_culprit(job)

    def finished(self, job: Job, result: ScenarioResult) -> None:
        super().finished(job, result)
        self.after.setdefault(job.spec.repeat, since_the_culprit(job))


def since_the_culprit(job: Job) -> float:
    """Seconds since rank 1, which is to blame in each control, did anything."""
    position = read_position(job.folder / "rank-1")
    return time.monotonic() - (position.t if position else job.started)


def lane(jobs: Sequence[tuple[str, int]], out: Path) -> list[dict[str, Any]]:
    """The verdicts on these controls, each with so many ranks."""
    runs = []
    for number, (name, ranks) in enumerate(jobs):
        (info,) = scenario.find([name])
        info = msgspec.structs.replace(info, settings=info.settings | {"ranks": ranks})
        (run,) = plan.make([info], Settings(), 1)
        runs.append(msgspec.structs.replace(run, repeat=number))
    how = Options(out=out, budget=BUDGET_S)
    told = Told(Console(stderr=True), len(runs))
    result, _ = execute(runs, Settings(), how, told, ["benchmarks/rank_controls.py"])
    judged = {row.repeat: row for row in selftest.rows(result)}
    return [
        {
            "control": one.scenario,
            "ranks": jobs[one.repeat][1],
            "ok": judged[one.repeat].ok,
            "wrong": judged[one.repeat].wrong,
            "outcome": one.outcome.value,
            "told": one.cause.summary if one.cause else one.reason,
            "told_after_s": told.after[one.repeat],
            "codes": [finding.code for finding in one.findings],
            "wall_s": one.wall_s,
        }
        for one in result.results
    ]


def lanes(jobs: Sequence[tuple[str, int]], count: int, cores: int) -> list[dict[str, Any]]:
    """The jobs dealt out to `count` processes, each bound to `cores` cores of its own."""
    with tempfile.TemporaryDirectory() as folder:
        started = []
        for number in range(count):
            share = Path(folder) / f"{number}.json"
            bound = [(number * cores + core) % (os.cpu_count() or 1) for core in range(cores)]
            share.write_text(json.dumps({"cores": bound, "jobs": jobs[number::count]}))
            command = [sys.executable, __file__, "--share", str(share)]
            started.append(subprocess.Popen(command, cwd=ROOT))
        for process in started:
            if process.wait():
                raise SystemExit("a lane failed")
        found = [json.loads((Path(folder) / f"{n}.json.out").read_text()) for n in range(count)]
    return [one for share in found for one in share]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("control", nargs="*")
    parser.add_argument("--ranks", default="2,4,8")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--lanes", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--share", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.share:
        share = json.loads(arguments.share.read_text())
        os.sched_setaffinity(0, share["cores"])
        with tempfile.TemporaryDirectory() as out:
            found = lane(share["jobs"], Path(out))
        Path(f"{arguments.share}.out").write_text(json.dumps(found))
        return
    ranks = [int(word) for word in arguments.ranks.split(",")]
    controls = arguments.control or [
        info.name for info in scenario.controls() if info.settings.get("ranks")
    ]
    jobs = [(n, size) for _ in range(arguments.repeat) for n in controls for size in ranks]
    count = arguments.lanes or max(1, (os.cpu_count() or 1) // arguments.cores)
    found = lanes(jobs, count, arguments.cores)
    rows = [row(name, [one for one in found if one["control"] == name], ranks) for name in controls]
    head = ("control", *(f"{size} ranks" for size in ranks), "told after", "at most")
    print(table(head, rows))
    for one in found:
        if not one["ok"]:
            print(f"{one['control']} with {one['ranks']} ranks: {one['wrong']}: {one['told']}")
    print(f"on {machine()}, {count} times {arguments.cores} cores")
    save(arguments.out, "rank_controls", {"cores": arguments.cores, "runs": found})


def row(name: str, runs: Sequence[dict[str, Any]], ranks: Sequence[int]) -> list[str]:
    of_size = [[one for one in runs if one["ranks"] == size] for size in ranks]
    after = [one["told_after_s"] for one in runs]
    return [
        name,
        *(f"{sum(one['ok'] for one in some)} of {len(some)}" for some in of_size),
        f"{median(after):.1f} s",
        f"{max(after):.1f} s",
    ]


if __name__ == "__main__":
    main()
