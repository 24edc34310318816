"""The reasons that are given for planted deaths, and what healthy programs get that look alike.

    python benchmarks/deaths.py [--more | --third | --fourth] [--only NAME ...] [--jobs 1]
        [--out FILE.json]

`benchmarks/dying.py` has the programs and the truth about each, written down before they were run;
with --more those of `benchmarks/dying_more.py`, which need node, java and mpirun as well, and
with --third and --fourth those of `benchmarks/dying_third.py` and `benchmarks/dying_fourth.py`.
Each is watched by `harness watch` in a folder of its own. A program that needs what the machine
does not allow (a control group, a mount) is skipped, and the summary says so. Needs gcc, g++ and
rustc.

Measure: the reason is right for every planted death, and no healthy program gets one.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import save, table
from benchmarks.dying import DEATHS, HEALTHY, Program
from benchmarks.dying_fourth import FOURTH
from benchmarks.dying_more import MORE
from benchmarks.dying_third import THIRD

COMPILERS = {
    ".c": ("gcc", "-O0", "-w", "-fstack-protector-all"),
    ".cpp": ("g++", "-O0", "-w"),
    ".rs": ("rustc", "-A", "warnings"),
}
SETS = {"more": MORE, "third": THIRD, "fourth": FOURTH}
INTERPRETERS = {".js": "node", ".java": "java"}
GROUP_BYTES = 192 << 20
ERRORS = ("error", "warning")
SECONDS = 60.0


@contextmanager
def group(name: str) -> Iterator[Path | None]:
    """A memory control group with a small limit; None where none can be made."""
    made = None
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        folder = root / f"harness-{name}-{os.getpid()}"
        with suppress(OSError):
            folder.mkdir()
            made = folder
            (folder / limit).write_text(str(GROUP_BYTES))
            for swap in ("memory.swap.max", "memory.swappiness"):
                if (folder / swap).exists():
                    (folder / swap).write_text("0")
            break
    try:
        yield made
    finally:
        if made is not None:
            for _ in range(50):
                with suppress(OSError):
                    made.rmdir()
                    break
                time.sleep(0.1)


def command(program: Program, home: Path, memory: Path | None) -> list[str]:
    """Write and compile the program; returns the words that run it."""
    file = home / f"{program.name}{program.suffix}"
    file.write_text(program.source)
    words = [sys.executable, file.name]
    if interpreter := INTERPRETERS.get(program.suffix):
        words = [interpreter, file.name]
    elif program.suffix != ".py":
        built = [*COMPILERS[program.suffix], "-o", program.name, file.name]
        subprocess.run(built, cwd=home, check=True, capture_output=True)
        words = [f"./{program.name}"]
    if program.ranks:
        words = ["mlx.launch", "-n", str(program.ranks), "--backend", "ring", "--", *words]
    if program.shell:
        return ["sh", "-c", program.shell.replace("PROGRAM", shlex.join(words))]
    if program.before:
        before = program.before.replace("GROUP", str(memory))
        words = ["sh", "-c", f"{before} exec {shlex.join(words)}"]
    return ["unshare", "--map-root-user", "--mount", *words] if program.needs == "mount" else words


def watch(program: Program, home: Path, memory: Path | None) -> dict[str, Any]:
    """The only result of run.json."""
    words = command(program, home, memory)
    root = Path(__file__).resolve().parents[1]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    watched = subprocess.Popen(
        [sys.executable, "-m", "harness", "watch", "--out", "out", "--budget", "60", "--", *words],
        cwd=home,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if program.signal:
        end = time.monotonic() + SECONDS
        while not (home / "ready").exists() and time.monotonic() < end:
            time.sleep(0.05)
        number = signal.Signals[program.signal]
        os.kill(_running(file=f"{program.name}.py", below=watched.pid), number)
    watched.wait(2 * SECONDS)
    (file,) = home.glob("out/*/run.json")
    result: dict[str, Any] = json.loads(file.read_text())["results"][0]
    return result


def _running(file: str, below: int) -> int:
    """The process that runs `file`, below the process `below`."""
    import psutil

    for process in psutil.Process(below).children(recursive=True):
        words = process.cmdline()
        if words[1:] == [file]:
            return int(process.pid)
    raise RuntimeError(f"{file} is not running")


def wrong(program: Program, result: dict[str, Any]) -> list[str]:
    """What is wrong with the result; empty where it is right."""
    reason = result["reason"] or ""
    findings = {one["code"]: one for one in result["findings"]}
    if program.healthy:
        bad = [code for code, one in findings.items() if one["severity"] in ERRORS]
        told = [f"outcome {result['outcome']}"] * (result["outcome"] != "completed")
        return [*told, *bad, *([f"reason {reason}"] if reason else [])]
    missing = [f"no {part!r}" for part in program.says if part not in reason]
    missing += [f"has {part!r}" for part in program.never if part in reason]
    error = findings.get("known_error", {}).get("evidence", {}).get("error", "")
    if error != program.error:
        missing.append(f"error {error or 'none'}")
    by = findings.get("killed_by", {}).get("evidence", {}).get("by", "")
    if program.by and by != program.by:
        missing.append(f"by {by or 'nobody'}")
    missing += [f"no finding {code}" for code in program.findings if code not in findings]
    return missing + [f"outcome {result['outcome']}"] * (result["outcome"] != "crashed")


def can_mount() -> bool:
    """True if a file system can be mounted in a name space of one's own."""
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--map-root-user", "--mount", "true"]
    return subprocess.run(tried, capture_output=True).returncode == 0


def missing(program: Program) -> str:
    """A program of the machine that this one needs, and that is not installed."""
    tools = [COMPILERS[program.suffix][0]] if program.suffix in COMPILERS else []
    tools += [INTERPRETERS[program.suffix]] if program.suffix in INTERPRETERS else []
    tools += [word for word in ("mpirun", "timeout") if program.shell.startswith(f"{word} ")]
    return next((tool for tool in tools if shutil.which(tool) is None), "")


def judged(program: Program, work: Path) -> dict[str, Any]:
    """The row of one program, run in a folder of its own below `work`."""
    if tool := missing(program):
        return {"name": program.name, "skipped": f"{tool} is not installed"}
    if program.needs == "mount" and not can_mount():
        return {"name": program.name, "skipped": "no file system can be mounted"}
    home = work / program.name
    home.mkdir()
    with group(program.name) if program.needs == "group" else nullcontext() as memory:
        if program.needs == "group" and memory is None:
            return {"name": program.name, "skipped": "no control group can be made"}
        result = watch(program, home, memory)
    mistakes = wrong(program, result)
    print(f"{'WRONG' if mistakes else 'right'}  {program.name}: {result['reason']}", flush=True)
    for mistake in mistakes:
        print(f"       {mistake}", flush=True)
    return {
        "name": program.name,
        "truth": "healthy" if program.healthy else "dies",
        "reason": result["reason"],
        "right": not mistakes,
        **({"wrong": mistakes} if mistakes else {}),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[])
    which = parser.add_mutually_exclusive_group()
    for name in SETS:
        which.add_argument(f"--{name}", dest="which", action="store_const", const=name)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    every = SETS.get(arguments.which, (*DEATHS, *HEALTHY))
    chosen = [one for one in every if not arguments.only or one.name in arguments.only]
    with (
        tempfile.TemporaryDirectory(prefix="deaths-") as work,
        ThreadPoolExecutor(arguments.jobs) as pool,
    ):
        rows = list(pool.map(lambda one: judged(one, Path(work)), chosen))
    run = [row for row in rows if "skipped" not in row]
    head = ("truth", "programs", "right")
    counts = []
    for truth in ("dies", "healthy"):
        of = [row for row in run if row["truth"] == truth]
        counts.append((truth, str(len(of)), str(sum(row["right"] for row in of))))
    print(table(head, counts))
    save(
        arguments.out,
        f"deaths_{arguments.which}" if arguments.which else "deaths",
        {"counts": counts, "programs": rows},
    )
    return 0 if all(row["right"] for row in run) else 1


if __name__ == "__main__":
    sys.exit(main())
