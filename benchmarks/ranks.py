"""The cost of the verdict on a job, from 10 ranks to 1,000.

    python benchmarks/ranks.py [--sizes 10,30,100,300,1000] [--steps 10000] [--out FILE.json]

Records are made up: each rank issues two collectives a step; one rank is slow, and in one kind of
job another one leaves out a collective half way. They go into columns beat by beat, as a supervisor
adds them while a job runs; then the job is judged: as it moves, hung, and with a rank killed.
Each size and kind has a process of its own, whose highest RSS is the kernel's figure.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, save, table
from harness.beats.file import BeatReader, Recorder, read_beats
from harness.detect.ranks import JobColumns, JobVerdict, RankState, judge
from harness.detect.ranks.columns import WINDOW
from harness.model import AnyBeat, BuiltBeat, CollectiveBeat, Position, StepBeat

STEP_S = 0.1
KINDS = ("alike", "one skips")
SLOW, SKIPS, KILLED = 3, 5, 7
"""Ranks."""


def fill(size: int, steps: int, skips: bool) -> JobColumns:
    """The columns of a job of which all ranks but one evaluate the step after the last."""
    job = JobColumns(size)
    issued = [0] * size
    for step in range(steps + 1):
        for rank, columns in enumerate(job.ranks):
            at = step == steps and rank == SLOW
            for beat in () if at else issue(step, issued, rank, skips and step == steps // 2):
                columns.add(beat)
            # What is kept of the phases is made for each rank, so that it takes the memory it does.
            if step < steps:
                columns.add(built(step))
                columns.add(returned(step, rank, step > steps - WINDOW - 2))
    return job


def issue(step: int, issued: list[int], rank: int, odd: bool) -> list[AnyBeat]:
    beats: list[AnyBeat] = []
    for shape in ((1_000_000,), ()):
        if odd and rank == SKIPS and not shape:
            continue
        beats.append(
            CollectiveBeat(
                t=STEP_S * step, n=issued[rank], step=step, op="all_sum", shape=shape,
                dtype="float32",
            )
        )  # fmt: skip
        issued[rank] += 1
    return beats


def built(step: int) -> BuiltBeat:
    return BuiltBeat(t=STEP_S * step + 0.04, step=step)


def returned(step: int, rank: int, own: bool) -> StepBeat:
    data = 0.06 if rank == SLOW else 0.01
    rest = 0.001 * (rank % 5) if own else 0.0
    phases = {
        "data": data + rest / 5, "forward": 0.005, "backward": 0.005, "update": 0.002,
        "eval": STEP_S - data - rest,
    }  # fmt: skip
    return StepBeat(t=STEP_S * (step + 1), step=step, phases=phases, loss=5.0)


def states(job: JobColumns, steps: int, killed: bool = False) -> list[RankState]:
    at = STEP_S * steps
    return [
        RankState(
            rank=rank,
            columns=columns,
            host=f"node{rank // 8}",
            position=Position(steps, "data" if rank == SLOW else "eval", at),
            process="S",
            ended_t=at + 1 if killed and rank == KILLED else None,
            signal="SIGKILL" if killed and rank == KILLED else None,
        )
        for rank, columns in enumerate(job.ranks)
    ]


def judged(job: JobColumns, steps: int, **how: bool) -> tuple[JobVerdict, float, float]:
    """The verdict, and its seconds of wall and CPU time."""
    seen = states(job, steps, how.get("killed", False))
    wall, cpu = time.perf_counter(), time.process_time()
    verdict = judge(seen, STEP_S * steps + 12, how.get("hung", False))
    return verdict, time.perf_counter() - wall, time.process_time() - cpu


def measure(size: int, steps: int, kind: str) -> dict[str, Any]:
    before = highest()
    began = time.perf_counter()
    job = fill(size, steps, kind == "one skips")
    filled = time.perf_counter() - began
    columns = highest()
    result: dict[str, Any] = {"ranks": size, "steps": steps, "kind": kind, "verdicts": {}}
    for name, how in (("moves", {}), ("hung", {"hung": True}), ("killed", {"killed": True})):
        verdict, wall, cpu = judged(job, steps, **how)
        result["verdicts"][name] = {
            "code": verdict.code,
            "culprits": list(verdict.culprits),
            "summary": verdict.summary,
            "wall_s": wall,
            "cpu_s": cpu,
        }
    return result | {
        "fill_s": filled,
        "rss_before": before,
        "rss_columns": columns,
        "rss_highest": highest(),
    }


def highest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def read_from_disk(folder: Path, steps: int) -> float:
    """Seconds to read and add one rank's beats: what a supervisor spends while the job runs."""
    recorder = Recorder(folder)
    issued = [0]
    for step in range(steps):
        for beat in (*issue(step, issued, 0, False), built(step), returned(step, 0, True)):
            recorder.write(beat)
    recorder.close()
    columns = JobColumns(1)[0]
    began = time.process_time()
    for read in read_beats(folder, BeatReader(folder)):
        columns.add(read)
    return time.process_time() - began


def child(size: int, steps: int, kind: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", f"{size},{kind}", "--steps", str(steps)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", default="10,30,100,300,1000", help="ranks")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--one", metavar="RANKS,KIND", help="measure in this very process")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        size, _, kind = arguments.one.partition(",")
        print(json.dumps(measure(int(size), arguments.steps, kind)))
        return
    sizes = [int(size) for size in arguments.sizes.split(",")]
    results = [child(size, arguments.steps, kind) for size in sizes for kind in KINDS]
    rows = [
        [
            f"{one['ranks']:,} {one['kind']}",
            *(f"{verdict['wall_s']:.3f}" for verdict in one["verdicts"].values()),
            f"{one['rss_highest'] / 2**20:.0f}",
            f"{one['fill_s'] / one['ranks'] / one['steps'] * 1e6:.2f}",
        ]
        for one in results
    ]
    head = ("ranks", "moves, s", "hung, s", "killed, s", "MiB in all", "us to add a step")
    print(table(head, rows))
    for one in results[-2:]:
        for name, verdict in one["verdicts"].items():
            print(f"{one['ranks']} {one['kind']}, {name}: {verdict['code']}: {verdict['summary']}")
    with tempfile.TemporaryDirectory() as folder:
        read_s = read_from_disk(Path(folder), arguments.steps)
    print(f"reading one rank's {arguments.steps:,} steps from beats.jsonl: {read_s:.2f} s of CPU")
    print(f"on {machine()}")
    for one in results:
        for verdict in one["verdicts"].values():
            del verdict["summary"]
    save(arguments.out, "ranks", {"jobs": results, "read_one_rank_cpu_s": read_s})


if __name__ == "__main__":
    main()
