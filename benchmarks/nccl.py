"""A check of ranks over NCCL on GPUs: the culprit, the reason, and what is left on the GPUs.

    python benchmarks/nccl.py [--ranks 2] [--repeat 3] [--limit SECONDS] [--reports FOLDER]
                              [--state FILE] [--out FILE.json] [CONTROL ...]

Needs one NVIDIA GPU for each rank, and MLX for CUDA. `--backend ring --device cpu` tries the script
itself where there are none. Each run is a process of its own that is killed if it does not end.
The runs take turns: all controls once before any of them twice, with the fault in another rank
each time. So what has been done when the time is over says something about each.

FILE of `--state` has all that was measured, and is written after each run. A second call with the
same file goes on where the first one stopped.

Measures: the culprit and the reason against what was done; the utilization, memory traffic and
power of each GPU as the verdict falls; processes and memory on the GPUs 10 s after the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import psutil
from rich.console import Console

from benchmarks.common import figures, machine, save, table
from benchmarks.rank_controls import Told, culprit_of, expected
from harness.analysis import controls as selftest
from harness.model import Settings
from harness.observe import gpu
from harness.scenario import load
from harness.session import hostfile, plan
from harness.session.execute import execute
from harness.session.plan import Options
from harness.stats import median

ROOT = Path(__file__).resolve().parents[1]
CONTROLS = (
    "rank_collective_never_ends",
    "rank_killed",
    "rank_skips_collective",
    "rank_stopped",
    "rank_raises",
    "rank_out_of_memory",
    "rank_sizes_differ",
    "rank_slow",
    "rank_leaves_early",
    "rank_never_joins",
)
"""The controls that have their own form on GPUs come first."""
BUDGET_S = 100.0
KILL_S = 40.0
"""So long after its budget a run is killed."""
ALL = "run-all"
ALL_S = 400.0
FREED_S = 10.0
"""So long the driver may take to free what a killed process held."""
SLACK = 64 << 20
"""Bytes on a GPU that are not one process's."""
BUSY = 95
"""Percent from which on a GPU is called busy all the time."""


def gpus() -> list[dict[str, Any]]:
    """The state of each GPU now."""
    return [
        {
            "busy": one.busy,
            "memory": one.memory,
            "memory_used": one.memory_used,
            "power_w": one.power_w,
            "contexts": len(one.contexts) if one.contexts is not None else None,
        }
        for one in gpu.devices() or ()
    ]


class Sampler(threading.Thread):
    """Looks at the GPUs every half second, and keeps the last looks."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.looks: list[tuple[float, list[dict[str, Any]]]] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.5):
            self.looks.append((time.monotonic(), gpus()))

    def close(self) -> None:
        self._over.set()
        self.join(10.0)

    def at(self, moment: float) -> list[dict[str, Any]]:
        """The busiest state of each GPU in the 4 s up to `moment`."""
        near = [look for t, look in self.looks if moment - 4.0 <= t <= moment and look]
        if not near:
            return []
        return [max(each, key=lambda one: one["busy"] or 0) for each in zip(*near, strict=True)]


class Kind(NamedTuple):
    """The number of ranks, and what they compute and talk with."""

    ranks: int
    backend: str
    device: str


def one_run(name: str, kind: Kind, culprit: int, out: Path) -> dict[str, Any]:
    """Run one control, in this process."""
    os.environ["CONTROL_CULPRIT"] = str(culprit)
    (info,) = load.find([name])
    assert info.verdict is not None
    verdict = expected(info.verdict, culprit, kind.ranks)
    info = msgspec.structs.replace(info, settings=info.settings | kind._asdict())
    runs = plan.make([info], Settings(), 1)
    hostfile.check(runs, None)
    told = Told(Console(stderr=True), len(runs), culprit)
    sampler = Sampler()
    sampler.start()
    how = Options(out=out, budget=BUDGET_S)
    began = time.monotonic()
    run, _ = execute(runs, Settings(), how, told, ["benchmarks/nccl.py"])
    sampler.close()
    (result,) = run.results
    row = selftest.row(result, verdict, run.environment)
    detected = began + (result.detected_at_s or result.wall_s)
    return {
        "ok": row.ok,
        "wrong": list(row.wrong),
        "outcome": result.outcome.value,
        "cause": result.cause.code if result.cause else None,
        "reason": result.reason,
        "culprits": [one.rank for one in result.ranks if one.culprit],
        "states": [one.state.value for one in result.ranks],
        "codes": [finding.code for finding in result.findings],
        "waits": [one.wait for one in result.ranks],
        "wait_sites": [one.wait_site for one in result.ranks],
        "told_after_s": told.after.get(0),
        "wall_s": result.wall_s,
        "gpus": sampler.at(detected),
    }


def all_scenarios(kind: Kind, out: Path) -> dict[str, Any]:
    """Run the whole ladder through the command line."""
    command = [
        *(sys.executable, "-m", "harness", "run-all", "--json", "--out", str(out)),
        *("--ranks", str(kind.ranks), "--backend", kind.backend, "--device", kind.device),
        *("--budget", str(BUDGET_S)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    results = json.loads(done.stdout)["results"] if done.stdout else []
    outcomes = {one["scenario"]: one["outcome"] for one in results}
    whole = bool(results) and set(outcomes.values()) <= {"completed", "skipped"}
    return {
        "ok": whole,
        "wrong": [] if whole else [done.stderr[-2000:]],
        "exit_code": done.returncode,
        "outcomes": outcomes,
        "reasons": {one["scenario"]: one["reason"] for one in results if one["reason"]},
        "told_after_s": None,
        "wall_s": sum(one["wall_s"] for one in results),
        "gpus": [],
    }


def apart(name: str, kind: Kind, culprit: int, reports: Path, seconds: float) -> dict[str, Any]:
    """The same in a process of its own, which is killed when it takes too long."""
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = [sys.executable, __file__, "--one", name, "--culprit", str(culprit)]
        command += [f"--{option}={value}" for option, value in kind._asdict().items()]
        command += ["--reports", str(reports), "--out", answer.name]
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return _failed("the run did not end, and was killed")
        found: dict[str, Any] = json.loads(Path(answer.name).read_text() or "{}")
    return found or _failed(f"the run ended with code {process.returncode} and no answer")


def _failed(why: str) -> dict[str, Any]:
    return {"ok": False, "wrong": [why], "told_after_s": None, "wall_s": None, "gpus": []}


def workers(reports: Path) -> list[psutil.Process]:
    """The ranks and launchers of our own runs: their command lines name a folder of `reports`."""
    ours = f"{reports}{os.sep}"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid()
        and any(ours in word for word in process.info["cmdline"] or ())
    ]


def left_over(before: Sequence[dict[str, Any]], reports: Path) -> dict[str, Any]:
    """Processes and memory that a run has left on the GPUs; empty when nothing is left."""
    until = time.monotonic() + FREED_S
    left: dict[str, Any] = {}
    while True:
        now = gpus()
        more = [
            (one["memory_used"] or 0) - (was["memory_used"] or 0)
            for one, was in zip(now, before, strict=False)
        ]
        left = {
            "processes": [process.pid for process in workers(reports)],
            "contexts": [one["contexts"] or 0 for one in now],
            "busy": [one["busy"] for one in now],
            "bytes": [max(0, size) for size in more],
        }
        alone = not left["processes"] and not any(left["contexts"])
        if alone and all(size < SLACK for size in more) and not any(left["busy"]):
            return {}
        if time.monotonic() > until:
            return left
        time.sleep(0.5)


def kill_all(reports: Path) -> int:
    """Kill what our own runs have left; the number of processes."""
    found = workers(reports)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return len(found)


def measure(
    jobs: Sequence[tuple[str, int]], kind: Kind, state: Path, reports: Path, limit: float
) -> list[dict[str, Any]]:
    """Do those of `jobs` that `state` has not, as long as there is time."""
    done: list[dict[str, Any]] = json.loads(state.read_text()) if state.exists() else []
    began, before = time.monotonic(), gpus()
    for number, (name, culprit) in enumerate(jobs):
        if any(one["number"] == number for one in done):
            continue
        usual = [one["wall_s"] for one in done if one["control"] == name and one["wall_s"]]
        takes = max(usual, default=ALL_S / 2 if name == ALL else 20.0) + FREED_S + 5
        rest = began + limit - time.monotonic()
        if takes > rest:
            continue
        most = ALL_S if name == ALL else BUDGET_S + KILL_S
        found = apart(name, kind, culprit, reports, min(most, rest + KILL_S))
        left = left_over(before, reports)
        if left:
            left["killed"] = kill_all(reports)
        about = {"number": number, "control": name, "culprit": culprit}
        done.append(about | found | {"left": left})
        state.write_text(json.dumps(done, indent=1))
        busy = "/".join(str(one["busy"]) for one in found["gpus"])
        right = "ok" if found["ok"] else f"WRONG {found['wrong']}"
        print(f"{name} rank {culprit}: {right}; GPUs {busy} %; left {left}", flush=True)
    return done


def summary(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seen = [one["gpus"] for one in runs if one["gpus"]]
    after = [one["told_after_s"] for one in runs if one["told_after_s"] is not None]
    return {
        "control": name,
        "runs": len(runs),
        "right": sum(bool(one["ok"]) for one in runs),
        "outcomes": sorted({one["outcome"] for one in runs if "outcome" in one}),
        "reasons": sorted({one["reason"] for one in runs if one.get("reason")}),
        "told_after_s": figures(after),
        "all_gpus_busy": sum(all((g["busy"] or 0) >= BUSY for g in look) for look in seen),
        "memory_percent": [g["memory"] for look in seen for g in look],
        "power_w": [g["power_w"] for look in seen for g in look],
        "nothing_left": sum(not one["left"] for one in runs),
        "wrong": [text for one in runs if not one["ok"] for text in one["wrong"]],
    }


def show(done: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    summaries = [
        summary(name, runs)
        for name in names
        if (runs := [one for one in done if one["control"] == name])
    ]
    head = ("control", "right", "told after", "all GPUs busy", "nothing left")
    rows = [
        [
            one["control"],
            f"{one['right']} of {one['runs']}",
            f"{one['told_after_s']['median']:.1f} s" if one["told_after_s"] else "–",
            f"{one['all_gpus_busy']} of {one['runs']}",
            f"{one['nothing_left']} of {one['runs']}",
        ]
        for one in summaries
    ]
    print(table(head, rows))
    return summaries


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("control", nargs="*")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--backend", default="nccl")
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=float, default=3600.0)
    parser.add_argument("--reports", type=Path)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--culprit", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Absolute, so that it names our processes and nobody else's.
        reports = (arguments.reports or Path(folder) / "reports").resolve()
        kind = Kind(arguments.ranks, arguments.backend, arguments.device)
        if arguments.one:
            if arguments.one == ALL:
                found = all_scenarios(kind, reports)
            else:
                found = one_run(arguments.one, kind, arguments.culprit, reports)
            arguments.out.write_text(json.dumps(found))
            return
        names = arguments.control or [*CONTROLS, ALL]
        jobs = [
            (name, culprit_of(kind.ranks, turn))
            for turn in range(arguments.repeat)
            for name in names
            if turn == 0 or name != ALL
        ]
        state = arguments.state or Path(folder) / "state.json"
        try:
            done = measure(jobs, kind, state, reports, arguments.limit)
        finally:
            kill_all(reports)
        summaries = show(done, names)
        print(f"on {machine()}")
        walls = [one["wall_s"] for one in done if one["wall_s"]]
        result = {
            **kind._asdict(),
            "gpus": gpu.utilization(),
            "runs": len(done),
            "asked": len(jobs),
            "right": sum(bool(one["ok"]) for one in done),
            "wall_s": median(walls) if walls else None,
            "controls": summaries,
            "ladder": next((one["outcomes"] for one in done if one["control"] == ALL), {}),
        }
        save(arguments.out, "nccl", result)


if __name__ == "__main__":
    main()
