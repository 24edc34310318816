"""The cost of a run of many steps: to report, and to supervise.

    python benchmarks/scale.py [--most 1000000] [--supervised 100000] [--out FILE.json]

Runs of 1e3 steps, 1e4 and so on are written to disk as a worker and its supervisor would have
written them. `harness report` makes their reports in a process of its own, twice: at first
nobody has judged the run, so that its result is worked out too, as at the end of a real run; then
the result is there. Time and highest RSS are the kernel's figures for that process.

Then a real run of very short steps is supervised, while the RSS of the supervisor is looked at.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import psutil

from benchmarks.common import machine, save, table
from harness.beats.file import BEATS, read_position
from harness.beats.record import SAMPLES
from harness.model import (
    AnyBeat,
    BuiltBeat,
    EndBeat,
    MlxBeat,
    ModelBeat,
    RunResult,
    Sample,
    Settings,
    StartBeat,
    StepBeat,
    Tensors,
    WorkerSpec,
)
from harness.observe.environment import gather
from harness.report import runjson
from harness.scenario import load

ROOT = Path(__file__).resolve().parents[1]
NAME = load.BASELINE
P = 400_000
SHORT_STEPS = '''"""Steps that do next to nothing."""

import mlx.core as mx


def make_step(training):
    return lambda: mx.array(1.0 / (1 + training.step))


def batches(training):
    while True:
        yield ()
'''


def beats(steps: int) -> Iterator[AnyBeat]:
    """The beats of a training of `steps` steps of 30 ms."""
    lot = random.Random(0)
    yield StartBeat(t=0.0, schema=1, pid=1, wall=1.7e9, scenario=NAME)
    yield MlxBeat(t=0.1, version="0.32.4", device="cpu")
    yield ModelBeat(
        t=0.2,
        parameters=P // 4,
        parameter_bytes=P,
        trainable=P // 4,
        trainable_bytes=P,
        dtype="float32",
        active=P,
    )
    for step in range(steps):
        t = 1 + 0.03 * step
        looked = step % 15 == 0
        size = {"nodes": 1950, "depth": 416} if looked else {}
        yield BuiltBeat(t=t, step=step, **size)
        noise = lot.lognormvariate(0, 0.2)
        phases = {"data": 4.1e-5, "forward": 0.0012, "backward": 0.002, "update": 0.001}
        yield StepBeat(
            t=t + 0.025,
            step=step,
            phases=phases | {"eval": 0.02 * noise},
            loss=5.5 * math.exp(-step / steps) + 0.1 * noise,
            active=3 * P + lot.randrange(4096),
            cache=5 * P,
            peak=5 * P + lot.randrange(4096),
            **({"left": 805, "carried": 802 if step else 0} if looked else {}),
        )
    yield EndBeat(
        t=2 + 0.03 * steps, steps=steps, drain_s=0.01, trainable=Tensors(total=20, changed=20)
    )


def samples(steps: int) -> Iterator[Sample]:
    """The samples of its supervisor: often at first, in a long run every 10 s."""
    t, ended = 0.0, 2 + 0.03 * steps
    while t < ended:
        step = max(0, int((t - 1) / 0.03))
        yield Sample(
            t=t, step=step, phase="eval", rss=200 << 20, cpu_s=2 * t, major_faults=3, threads=5,
            processes=1, available=8 << 30, swap_used=0,
        )  # fmt: skip
        t += 0.25 if t < 60 else 1 if t < 3600 else 10


def write_run(folder: Path, steps: int) -> None:
    """A run's folder, of which a killed supervisor has not written the result."""
    home = folder / NAME / "0"
    home.mkdir(parents=True)
    encode = msgspec.json.Encoder().encode
    for name, lines in ((BEATS, beats(steps)), (SAMPLES, samples(steps))):
        with (home / name).open("wb") as file:
            file.writelines(encode(line) + b"\n" for line in lines)
    settings = Settings(steps=steps)
    (info,) = load.find([NAME])
    spec = WorkerSpec(scenario=NAME, path=info.path, folder=str(home), settings=settings)
    (home / "spec.json").write_bytes(encode(spec))
    run = RunResult(
        harness_version="0",
        started="2026-01-01T00:00:00+00:00",
        environment=gather(),
        settings=settings,
        scenarios=(info,),
    )
    runjson.write(run, folder)


def reported(folder: Path) -> dict[str, float]:
    """Wall and CPU seconds and the highest RSS of one `harness report`. Raises when it fails.

    Linux counts the RSS of who started a process as that process's own: this one has to be small.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "report", str(folder)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"harness report {folder} exited with {process.returncode}")
    return {"s": took, "cpu_s": usage.ru_utime + usage.ru_stime, "rss": highest(usage)}


def highest(usage: resource.struct_rusage) -> int:
    """Highest RSS in bytes; macOS counts in bytes, Linux in KiB."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report_sizes(most: int) -> list[dict[str, float]]:
    """Time and memory of judging and of reporting runs of 1e3 to `most` steps."""
    results = []
    steps = 1000
    while steps <= most:
        with tempfile.TemporaryDirectory() as folder:
            write_run(Path(folder), steps)
            judged = reported(Path(folder))
            again = reported(Path(folder))
        results.append(
            {"steps": steps}
            | {f"judge_and_report_{name}": value for name, value in judged.items()}
            | {f"report_{name}": value for name, value in again.items()}
        )
        steps *= 10
    return results


def shown_as(name: str, value: float) -> str:
    return f"{value / 2**20:.0f}" if name.endswith("rss") else f"{value:.2f}"


def per_step(results: list[dict[str, float]], figure: str) -> list[float]:
    """The cost of each further step, from each size to the next: rises if worse than linear."""
    return [(b[figure] - a[figure]) / (b["steps"] - a["steps"]) for a, b in pairwise(results)]


def supervised(steps: int) -> dict[str, Any]:
    """The supervisor's RSS over a real run, from a tenth of its steps on, and with its end."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "short_steps.py"
        file.write_text(SHORT_STEPS)
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", "run", str(file), "--steps", str(steps), "--out",
             folder, "--json"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        looks = list(watch(process, Path(folder)))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    running = [rss for step, rss in looks if steps // 10 <= step < steps]
    return {
        "steps": steps,
        "looks": len(running),
        "rss_first": running[0],
        "rss_last": running[-1],
        "rss_highest": max(running),
        "rss_with_the_end": highest(usage),
    }


def watch(process: subprocess.Popen[bytes], folder: Path) -> Iterator[tuple[int, int]]:
    """(step of the worker, RSS of its supervisor) ten times a second, until the worker ends."""
    watched = psutil.Process(process.pid)
    while watched.status() != psutil.STATUS_ZOMBIE:
        for slot in folder.glob("*/short_steps/0/now.bin"):
            position = read_position(slot.parent)
            if position is None or position.phase == "exit":
                continue
            yield position.step, watched.memory_info().rss
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=1_000_000, help="steps reported at most")
    parser.add_argument("--supervised", type=int, default=100_000, help="steps of the real run")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = report_sizes(arguments.most)
    columns = [name for name in results[0] if name != "steps"]
    rows = [
        [f"{one['steps']:,}", *(shown_as(name, one[name]) for name in columns)] for one in results
    ]
    head = ("steps", "judge and report, s", "CPU s", "MiB", "report, s", "CPU s", "MiB")
    print(table(head, rows))
    marginal = {name: per_step(results, name) for name in columns}
    for name in ("judge_and_report_cpu_s", "judge_and_report_rss", "report_cpu_s", "report_rss"):
        unit, scale = ("us", 1e6) if name.endswith("_s") else ("bytes", 1)
        told = ", ".join(f"{cost * scale:.2f}" for cost in marginal[name])
        print(f"{name}: {told} {unit} for each further step, from each size to the next")
    held = supervised(arguments.supervised)
    print(
        f"supervisor of {held['steps']:,} steps: {held['rss_first'] / 2**20:.1f} MiB after a tenth "
        f"of them, {held['rss_last'] / 2**20:.1f} MiB at the last, highest "
        f"{held['rss_highest'] / 2**20:.1f} MiB; {held['rss_with_the_end'] / 2**20:.1f} MiB with "
        "the judgment at the end"
    )
    print(f"on {machine()}")
    save(
        arguments.out,
        "scale",
        {"report": results, "per_further_step": marginal, "supervisor": held},
    )


if __name__ == "__main__":
    main()
