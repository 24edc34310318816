"""A check that the controls of several ranks get the right culprit and reason, again and again.

    python benchmarks/rank_controls.py [--ranks 2,4,8] [--repeat 10] [--cores 2] [--lanes N]
                                       [--out FILE.json] [CONTROL ...]

Each lane is a process of its own that is bound to so many cores and runs its share of the controls
one after the other: a machine of 16 cores is eight machines of two. More lanes than there are cores
for share them.

The culprit is the first rank, the last, and one between them in turn.

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

from benchmarks.common import figures, machine, save, table
from harness.analysis import controls as selftest
from harness.beats.file import read_position
from harness.cli.console import Screen
from harness.cli.selftest import BUDGET_S
from harness.model import Expected, ScenarioResult, Settings
from harness.scenario import load
from harness.session import plan
from harness.session.execute import execute
from harness.session.plan import Options
from harness.stats import median
from harness.supervise.job import Job

ROOT = Path(__file__).resolve().parents[1]

Planned = tuple[str, int, int]
"""A control, how many ranks it has, and which of them comes to grief."""


class Told(Screen):
    """A screen that remembers when each job was first said to have come to grief."""

    def __init__(self, console: Console, total: int, culprit: int) -> None:
        super().__init__(console, total, quiet=True, verbose=False)
        self.culprit = culprit
        self.after: dict[int, float] = {}

    def looked(self, jobs: Sequence[Job]) -> None:
        super().looked(jobs)
        for job in jobs:
            if "rank" in job.judgment.reason and job.spec.repeat not in self.after:
                self.after[job.spec.repeat] = since_it_moved(job, self.culprit)

    def finished(self, job: Job, result: ScenarioResult) -> None:
        super().finished(job, result)
        self.after.setdefault(job.spec.repeat, since_it_moved(job, self.culprit))


def since_it_moved(job: Job, rank: int) -> float:
    """Seconds since this rank did anything."""
    position = read_position(job.folder / f"rank-{rank}")
    return time.monotonic() - (position.t if position else job.started)


def culprit_of(size: int, turn: int) -> int:
    """The rank of `size` that fails: each of those that may be told of differently."""
    places = sorted({0, 1, size - 1})
    return places[turn % len(places)]


def expected(verdict: Expected, culprit: int, size: int) -> Expected:
    """`verdict` of a control in which the next rank to this one, if two, comes to grief with it."""
    if verdict.culprits:
        return msgspec.structs.replace(verdict, culprits=(culprit, (culprit + 1) % size))
    named = None if verdict.culprit is None else culprit
    return msgspec.structs.replace(verdict, culprit=named)


def lane(jobs: Sequence[Planned], out: Path) -> list[dict[str, Any]]:
    """The verdicts on these jobs, those with one culprit together: the environment names it."""
    found = []
    for culprit in sorted({culprit for _, _, culprit in jobs}):
        os.environ["CONTROL_CULPRIT"] = str(culprit)
        found += same_culprit([one for one in jobs if one[2] == culprit], out, culprit)
    return found


def same_culprit(jobs: Sequence[Planned], out: Path, culprit: int) -> list[dict[str, Any]]:
    runs, verdicts = [], []
    for number, (name, size, _) in enumerate(jobs):
        (info,) = load.find([name])
        assert info.verdict is not None
        verdicts.append(expected(info.verdict, culprit, size))
        info = msgspec.structs.replace(info, settings=info.settings | {"ranks": size})
        (run,) = plan.make([info], Settings(), 1)
        runs.append(msgspec.structs.replace(run, repeat=number))
    how = Options(out=out, budget=BUDGET_S)
    told = Told(Console(stderr=True), len(runs), culprit)
    result, _ = execute(runs, Settings(), how, told, ["benchmarks/rank_controls.py"])
    judged = [selftest.row(one, verdicts[one.repeat], result.environment) for one in result.results]
    return [
        {
            "control": one.scenario,
            "ranks": jobs[one.repeat][1],
            "culprit": culprit,
            "ok": row.ok,
            "wrong": row.wrong,
            "outcome": one.outcome.value,
            "told": one.reason,
            "told_after_s": told.after[one.repeat],
            "codes": [finding.code for finding in one.findings],
            "wall_s": one.wall_s,
        }
        for one, row in zip(result.results, judged, strict=True)
    ]


def lanes(jobs: Sequence[Planned], count: int, cores: int) -> list[dict[str, Any]]:
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
        info.name for info in load.controls() if info.settings.get("ranks")
    ]
    jobs = [
        (name, size, culprit_of(size, turn))
        for turn in range(arguments.repeat)
        for name in controls
        for size in ranks
    ]
    count = arguments.lanes or max(1, (os.cpu_count() or 1) // arguments.cores)
    found = lanes(jobs, count, arguments.cores)
    rows = [row(name, [one for one in found if one["control"] == name], ranks) for name in controls]
    head = ("control", *(f"{size} ranks" for size in ranks), "told after", "at most")
    print(table(head, rows))
    for one in found:
        if not one["ok"]:
            where = f"{one['control']} with {one['ranks']} ranks, in rank {one['culprit']}"
            print(f"{where}: {one['wrong']}: {one['told']}")
    print(f"on {machine()}, {count} times {arguments.cores} cores")
    summaries = [
        summary(name, [one for one in found if one["control"] == name]) for name in controls
    ]
    right = sum(one["ok"] for one in found)
    result = {
        "cores": arguments.cores,
        "runs": len(found),
        "right": right,
        "controls": summaries,
    }
    save(arguments.out, "rank_controls", result)


def summary(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    sizes = sorted({one["ranks"] for one in runs})
    return {
        "control": name,
        "runs": {size: sum(one["ranks"] == size for one in runs) for size in sizes},
        "right": {size: sum(one["ok"] for one in runs if one["ranks"] == size) for size in sizes},
        "outcomes": sorted({one["outcome"] for one in runs}),
        "told_after_s": figures([one["told_after_s"] for one in runs]),
        "wrong": [f"{one['wrong']}: {one['told']}" for one in runs if not one["ok"]],
    }


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
