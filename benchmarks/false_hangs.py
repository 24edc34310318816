"""The share of healthy runs that are ended as hung, on a machine that makes it hard.

    python benchmarks/false_hangs.py [--quick] [--rounds 5] [--jobs 4] [--patience S] [--long]
                                     [--device gpu] [--minutes M] [--kinds ...] [--out FILE.json]

Every run is healthy: scenarios of the ladder, a victim that does something in one of its steps that
is easily taken for a stall, for 6 to 12 s where others take 5 ms, and commands under `harness
watch` behind wrappers and at a prompt. With `--long` it takes up to 90 s. Each runs undisturbed,
beside four spinning processes for each core, and with SIGSTOP and, 10 s later, SIGCONT to the
worker or to the supervisor, wherever it happens to be. Those that take several cores run in every
other round.

Measure: of the runs that work, sleep or wait for a person, none is ended, with any patience. Those
that wait for something outside, look for it again and again, or stay in one loop cannot be told
from a hang but by waiting. They too are not to be ended where their wait is shorter than the
patience; where it is longer, they are counted apart. Doubts are counted: said, and taken back, they
harm nobody. Any other end than `completed` is told. The bound is Clopper and Pearson's, one-sided,
95 %: for no event in n runs about 3 / n.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import VICTIM, Deadline, figures, machine, save, server, table

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).with_name("watched.py")
LEAD = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal that it has for its input its own, and becomes the command."""
LADDER = ("baseline_update", "compiled_step", "lora_step", "tiny_model")
EVENTS = (
    "nothing",
    "slow_step",
    "slow_python",
    "tokenizing",
    "compressing",
    "sorting",
    "hashing",
    "collecting",
    "long_sleep",
    "working_child",
    "sleeping_child",
    "computing_children",
    "computing_pool",
    "child_behind_wrappers",
    "piped_child",
    "native_threads",
    "native_sleeper",
    "slow_disk",
    "checkpoint",
    "download",
    "cold_compiles",
    "flood",
    "unaccepted_connections",
    "told_of_a_child",
    "timed_socket",
    "timed_signal",
    "own_namespace",
)
UNDECIDED = (
    "remote_call", "late_peer", "long_python", "long_search", "very_patient_loader",
    "patient_loader",
)  # fmt: skip
"""Kinds that wait for something outside, poll, or stay in one loop."""
ON_GPU = ("long_gpu_kernel",)
WATCHED = {
    "watch_bash": ("computes", ("bash", "-c", '"$@"; true', "bash")),
    "watch_timeout": ("computes", ("timeout", "3600")),
    "watch_prompt": ("asks", ()),
}
"""Commands under `harness watch`: what each does, and behind which wrapper."""
DISTURBANCES = ("none", "worker stopped", "supervisor stopped", "spinners")
"""Spinners last: they take the cores, and the others are to come whole where time is short."""
QUICK = ("baseline_update", "computing_pool", "watch_prompt", "remote_call")
LONG = (
    "slow_step", "tokenizing", "long_sleep", "sleeping_child", "computing_children",
    "child_behind_wrappers", "native_sleeper", "slow_disk", "watch_bash", "watch_prompt",
)  # fmt: skip
MANY_CORES = (
    "compiled_step", "lora_step", "computing_children", "computing_pool", "native_threads",
    "cold_compiles",
)  # fmt: skip
"""Kinds that take several cores: they run in every other round, and begin first, for they last."""
SPINNERS_A_CORE = 4
STOPPED_S = 10.0
EVENT_S, LONG_S = 12.0, 90.0
DOUBT_S = 5.0
"""No doubt is said sooner."""
SPARE_S = 60.0
"""For the start of a run, its end, and a disturbance, on a busy machine."""
RUN_PATIENCE_S = 60.0
"""The default."""


class Asked(NamedTuple):
    """The options of all runs."""

    event_s: float
    patience: float | None
    device: str | None
    port: int

    def excused(self, kind: str) -> bool:
        """True if the run waits longer than the patience, for what may never come."""
        patience = RUN_PATIENCE_S if self.patience is None else self.patience
        return kind in UNDECIDED and self.event_s > DOUBT_S + patience


def bound(events: int, runs: int, confidence: float = 0.95) -> float:
    """Upper end of Clopper and Pearson's one-sided interval for a share, by bisection."""
    if events >= runs:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if at_most(events, runs, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def at_most(events: int, runs: int, share: float) -> float:
    """Probability of at most so many events in so many runs."""
    term = total = (1 - share) ** runs
    for k in range(events):
        term *= (runs - k) / (k + 1) * share / (1 - share)
        total += term
    return total


@contextlib.contextmanager
def spinners(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(kind: str, disturbance: str, seed: int, asked: Asked) -> dict[str, Any]:
    """One healthy run; its outcome and whatever was said of it."""
    with tempfile.TemporaryDirectory() as out:
        process, terminal = start(kind, Path(out), asked)
        began = time.monotonic()
        if disturbance.endswith("stopped"):
            stop(process, disturbance, random.Random(seed))
        errors = attend(process, terminal, began + 3.0 + asked.event_s)
        files = list(Path(out).glob("*/run.json"))
        if not files:
            raise SystemExit(f"{kind}: {errors}")
        (result,) = json.loads(files[0].read_bytes())["results"]
    return {
        "kind": kind,
        "disturbance": disturbance,
        "outcome": result["outcome"],
        "reason": result["reason"],
        "proven": bool((result.get("cause") or {}).get("proven")),
        "excused": asked.excused(kind),
        "doubts": [one["summary"] for one in result.get("doubts", ())],
        "wall_s": result["wall_s"],
    }


def start(kind: str, out: Path, asked: Asked) -> tuple[subprocess.Popen[bytes], int | None]:
    """Start the harness; at a prompt with a terminal of its own, whose master is returned."""
    event = {"event": kind, "step_s": 0.005, "at": 60, "computed": True}
    event |= {"long_s": asked.event_s, "port": asked.port}
    options = ["--out", str(out)]
    if asked.patience is not None:
        options += ["--patience", str(asked.patience)]
    before: tuple[str, ...] = ()
    streams: dict[str, int] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    master = None
    if kind in WATCHED:
        what, wrapper = WATCHED[kind]
        program = (sys.executable, str(SCRIPT), what, str(asked.event_s))
        command = ["watch", *options, "--", *wrapper, *program]
        if what == "asks":
            before = (sys.executable, "-c", LEAD)
            master, slave = os.openpty()
            streams = dict.fromkeys(streams, slave)
    else:
        known = kind in LADDER
        command = ["run", kind if known else str(VICTIM), "--cold", *options]
        command += ["--steps", "20" if known else "120", "--budget", str(4 * asked.event_s + 300)]
        command += ["--device", asked.device] if asked.device else []
        streams["stderr"] = subprocess.PIPE
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "harness", *command],
        cwd=ROOT,
        env={**os.environ, "VICTIM": json.dumps(event)},
        start_new_session=master is not None,
        stdin=streams["stdin"],
        stdout=streams["stdout"],
        stderr=streams["stderr"],
    )
    if master is not None:
        os.close(slave)
    return process, master


def attend(process: subprocess.Popen[bytes], terminal: int | None, answers: float) -> str:
    """Wait for the end, and be the person who types at that time; returns what was shown."""
    if terminal is None:
        _, errors = process.communicate()
        return (errors or b"").decode()
    shown = b""
    try:
        while True:
            left = answers - time.monotonic()
            if left <= 0 and b"go on?" in shown:
                os.write(terminal, b"\n")
                answers = float("inf")
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 1 << 16)
    except OSError:
        pass  # whoever had the other end is gone
    finally:
        os.close(terminal)
    process.wait()
    return shown.decode("utf-8", "replace")


def stop(harness: subprocess.Popen[bytes], disturbance: str, draw: random.Random) -> None:
    """Stop the worker or the supervisor for a while, at some moment of the run."""
    time.sleep(draw.uniform(0.3, 3.0))
    with contextlib.suppress(psutil.Error):
        target = psutil.Process(harness.pid)
        if disturbance == "worker stopped":
            # Below the harness is the guard, and below that the worker.
            target = only_child(only_child(target))
        target.send_signal(signal.SIGSTOP)
        try:
            time.sleep(STOPPED_S)
        finally:
            target.send_signal(signal.SIGCONT)


def only_child(process: psutil.Process) -> psutil.Process:
    """Waits for it to be started. Raises psutil.NoSuchProcess when that does not happen."""
    while not (children := process.children()):
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(process.pid)
        time.sleep(0.01)
    return children[0]


def measure(
    kinds: Sequence[str],
    disturbances: Sequence[str],
    rounds: int,
    jobs: int,
    asked: Asked,
    deadline: Deadline,
    file: Path | None,
) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []

    def one(kind: str, disturbance: str, seed: int) -> dict[str, Any] | None:
        if not deadline.leaves(asked.event_s + SPARE_S):
            return None
        return run(kind, disturbance, seed, asked)

    for disturbance in disturbances:
        crowd = SPINNERS_A_CORE * (os.cpu_count() or 1) if disturbance == "spinners" else 0
        wanted = [
            (kind, disturbance, seed)
            for seed in range(rounds)
            for kind in kinds
            if seed % 2 == 0 or kind not in MANY_CORES
        ]
        wanted.sort(key=lambda one: one[0] not in MANY_CORES)
        with spinners(crowd), ThreadPoolExecutor(jobs) as pool:
            for future in as_completed(pool.submit(one, *each) for each in wanted):
                done = future.result()
                if done is None:
                    continue
                runs.append(done)
                if done["outcome"] != "completed":
                    print(*done.values(), sep=", ", file=sys.stderr, flush=True)
                if len(runs) % 10 == 0:
                    save(file, "false_hangs", summary(runs, kinds, asked))
    return runs


def summary(runs: Sequence[dict[str, Any]], kinds: Sequence[str], asked: Asked) -> dict[str, Any]:
    judged = [one for one in runs if not one["excused"]]
    ended = sum(one["outcome"] == "hung" for one in judged)
    return {
        "patience_s": asked.patience,
        "event_s": asked.event_s,
        "runs": len(judged),
        "ended": ended,
        "bound": bound(ended, len(judged)) if judged else 1.0,
        "proven": sum(one["proven"] for one in runs),
        "others": sum(one["outcome"] not in ("hung", "completed") for one in judged),
        "doubted": sum(bool(one["doubts"]) for one in judged if one["kind"] not in UNDECIDED),
        "of_runs_that_may_not_be": sum(one["kind"] not in UNDECIDED for one in judged),
        "excused": len(runs) - len(judged),
        "excused_and_ended": sum(one["outcome"] == "hung" for one in runs if one["excused"]),
        "cells": [cell(kind, disturbance, runs) for kind in kinds for disturbance in DISTURBANCES],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few kinds, once each, undisturbed")
    parser.add_argument("--rounds", type=int, help="of every kind under every disturbance (5)")
    parser.add_argument("--jobs", type=int, default=4, help="runs at once (4)")
    parser.add_argument("--patience", type=float, help="in seconds (that of the command)")
    parser.add_argument("--long", action="store_true", help="events of 90 s, fewer kinds")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="gpu: long kernels as well")
    parser.add_argument("--minutes", type=float, help="start no run that would end later")
    parser.add_argument("--kinds", nargs="+", choices=(*every(), *ON_GPU))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    kinds = arguments.kinds or (QUICK if arguments.quick else LONG if arguments.long else every())
    if arguments.device == "gpu" and not arguments.kinds:
        kinds = (*kinds, *ON_GPU)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    disturbances = DISTURBANCES[:1] if arguments.quick else DISTURBANCES
    deadline = Deadline(arguments.minutes)
    with server() as port:
        event_s = LONG_S if arguments.long else EVENT_S
        asked = Asked(event_s, arguments.patience, arguments.device, port)
        runs = measure(kinds, disturbances, rounds, arguments.jobs, asked, deadline, arguments.out)
    rows = []
    for kind in kinds:
        here = [one for one in runs if one["kind"] == kind]
        doubted = sum(bool(one["doubts"]) for one in here)
        rows.append([kind, str(len(here)), str(doubted), *(told(here, d) for d in DISTURBANCES)])
    print(table(("kind", "runs", "doubted", *DISTURBANCES), rows))
    result = summary(runs, kinds, asked)
    print(
        f"{result['ended']} of {result['runs']} healthy runs ended "
        f"(95 % bound: {100 * result['bound']:.2f} %), {result['proven']} as proven; "
        f"{result['others']} ended in another way than completed; a doubt was said of "
        f"{result['doubted']} of the {result['of_runs_that_may_not_be']} that work, sleep or wait "
        f"for a person; of {result['excused']} that waited longer than the patience, "
        f"{result['excused_and_ended']} were ended"
    )
    print(f"on {machine()}")
    save(arguments.out, "false_hangs", result)


def every() -> tuple[str, ...]:
    return (*LADDER, *EVENTS, *UNDECIDED, *WATCHED)


def cell(kind: str, disturbance: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of one kind of run under one disturbance."""
    here = [one for one in runs if (one["kind"], one["disturbance"]) == (kind, disturbance)]
    others = [one for one in here if one["outcome"] != "completed"]
    return {
        "kind": kind,
        "disturbance": disturbance,
        "runs": len(here),
        "completed": len(here) - len(others),
        "doubted": sum(bool(one["doubts"]) for one in here),
        "doubts": sorted({summary for one in here for summary in one["doubts"]})[:3],
        "others": [f"{one['outcome']}: {one['reason']}" for one in others],
        "wall_s": figures([one["wall_s"] for one in here]),
    }


def told(runs: Sequence[dict[str, Any]], disturbance: str) -> str:
    """`0/10`: of the runs under this disturbance so many were not completed."""
    outcomes = [one["outcome"] for one in runs if one["disturbance"] == disturbance]
    return f"{sum(outcome != 'completed' for outcome in outcomes)}/{len(outcomes)}"


if __name__ == "__main__":
    main()
