"""The delay and the correctness of `harness attach` for each control that was started by hand.

    python benchmarks/attach.py [--only NAME ...] [--jobs 1] [--out FILE.json]

Each control that hangs, and each healthy one, is started as a process of its own, without any
supervisor. Once it is where it hangs, or in the midst of what is easily mistaken for a hang,
`harness attach PID --json` is run. Its answer must be that of ANSWERS; the seconds are from the
command's start to its end, Python's own start and the report included. A healthy one is then left
to end by itself, and its losses must be those of a second run that nobody looked at.

Measure: the right answer within 6 s, and within 2.5 s at the median; what is healthy is unharmed.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import figures, machine, save, shown, table
from harness.beats import record
from harness.beats.file import read_position
from harness.model import Outcome, Position, ScenarioInfo, Settings, WorkerSpec
from harness.scenario import load

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 6.0
ANSWERS = {
    "child_never_ends": ("waiting",),
    "compiler_never_returns": ("waiting",),
    "fork_deadlock": ("deadlock",),
    "gil_held": ("deadlock",),
    "gpu_kernel_never_ends": ("alive", "waiting"),
    "idle_gpu": ("stalled",),
    "livelock": ("spinning",),
    "loader_never_yields": ("waiting",),
    "native_spin": ("spinning",),
    "own_peer_skips_collective": ("waiting", "stalled"),
    "stopped_by_signal": ("stopped",),
    "two_locks": ("deadlock",),
    "cold_compile": ("alive", "compiling"),
    "cpu_contention": ("alive",),
    "long_gpu_kernel": ("alive",),
    "long_validation": ("alive",),
    "noisy_loss": ("alive",),
    "one_slow_step": ("alive",),
    "output_flood": ("alive",),
    "sleeping_loader": ("alive", "asleep"),
}
"""The right ones; a kernel of the GPU that lasts for ever cannot be told from a long one."""
MOMENTS = {
    "cold_compile": (0, ""),
    "cpu_contention": (8, ""),
    "long_validation": (5, "validate"),
    "one_slow_step": (5, ""),
    "sleeping_loader": (4, "data"),
    "output_flood": (3, ""),
    "long_gpu_kernel": (3, ""),
}
"""Step and phase of the healthy ones in which to look."""
STEPS = {"noisy_loss": 3000, "output_flood": 3000, "cpu_contention": 400}
"""Those that would be over before they are looked at get more steps."""
REST_S = 1.5
"""The time from the beginning of the hanging step until it hangs, in seconds."""


class ByHand:
    """A control's worker without a supervisor."""

    def __init__(self, info: ScenarioInfo, folder: Path, name: str = "0") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        settings = load.apply(Settings(), info)
        steps = STEPS.get(info.name, settings.steps)
        spec = WorkerSpec(
            scenario=info.name,
            path=info.path,
            folder=str(self.folder),
            settings=msgspec.structs.replace(settings, steps=steps),
        )
        file = self.folder / "spec.json"
        file.write_bytes(msgspec.json.encode(spec))
        with (self.folder / "out").open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.worker", str(file)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def await_step(self, step: int, phase: str) -> bool:
        """Wait until it came to `step` and, if one is named, `phase`."""
        while self.process.poll() is None:
            at = read_position(self.folder)
            if at is not None and _reached(at, step, phase):
                return True
            time.sleep(0.02)
        return False

    def losses(self) -> list[float]:
        """Those of its steps, once it has ended by itself."""
        assert self.process.wait() == 0
        return list(record.load(self.folder).loss)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _reached(at: Position, step: int, phase: str) -> bool:
    return at.step > step or (at.step == step and phase in ("", at.phase))


def attach(pid: int, out: Path) -> dict[str, Any]:
    """The answer of `harness attach` for `pid`, and the seconds that it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "attach", str(pid), "--json", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - began
    if not done.stdout:
        return {"answer": None, "seconds": seconds, "says": done.stderr.strip()}
    (result,) = json.loads(done.stdout)["results"]
    (found,) = (one for one in result["findings"] if one["code"] == "attached")
    return {
        "answer": found["evidence"]["answer"],
        "seconds": seconds,
        "says": found["evidence"]["summary"],
        "exit_code": done.returncode,
    }


def measure(info: ScenarioInfo) -> dict[str, Any] | None:
    """One control; None when it cannot run here."""
    assert info.verdict is not None
    healthy = Outcome.COMPLETED in info.verdict.outcome
    step, phase = MOMENTS.get(info.name, (info.verdict.step or 3, ""))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = ByHand(info, folder)
        try:
            if not run.await_step(step, phase):
                return None
            time.sleep(REST_S if not healthy or info.name == "cold_compile" else 0.2)
            found = attach(run.process.pid, folder / "reports")
            unharmed = _unharmed(run, info, folder, healthy)
        finally:
            run.end()
    right = found["answer"] in ANSWERS[info.name]
    return {"control": info.name, "healthy": healthy, "right": right, "unharmed": unharmed} | found


def _unharmed(run: ByHand, info: ScenarioInfo, folder: Path, healthy: bool) -> bool:
    """A healthy one ends as one that nobody looked at; a hung one is still there."""
    if not healthy:
        return run.process.poll() is None
    twin = ByHand(info, folder, "twin")
    try:
        return run.losses() == twin.losses()
    finally:
        twin.end()


HEAD = ("control", "answer", "right", "unharmed", "seconds")


def row(one: dict[str, Any]) -> list[str]:
    yes = {True: "yes", False: "NO"}
    return [
        one["control"],
        str(one["answer"]),
        yes[one["right"]],
        yes[one["unharmed"]],
        shown(one["seconds"]),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=sorted(ANSWERS))
    parser.add_argument("--jobs", type=int, default=1, help="controls at once (1)")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(argv)
    results: list[dict[str, Any]] = []
    chosen = [one for one in load.controls() if one.name in (arguments.only or ANSWERS)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for info, one in zip(chosen, pool.map(measure, chosen), strict=True):
            if one is None:
                print(f"{info.name}: cannot run here", file=sys.stderr)
                continue
            results.append(one)
            told = table(HEAD, [row(one)]).partition("\n")[2]
            print(told, one["says"], file=sys.stderr, flush=True)
            save(arguments.out, "attach", {"limit_s": LIMIT_S, "controls": results})
    print(table(HEAD, [row(one) for one in results]))
    seconds = figures([one["seconds"] for one in results])
    print(f"seconds: {', '.join(f'{k} {shown(v)}' for k, v in seconds.items())}")
    print(f"on {machine()}")


if __name__ == "__main__":
    main()
