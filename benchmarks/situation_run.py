"""One run of one program of a corpus under the harness, and what the harness said of it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil

from benchmarks.corpus import Corpus, Program, environment

MARK = "SITUATION"
"""An environment variable that all the processes of a run have."""
LATE_S = 90.0
"""Seconds beyond its budget after which a harness is taken to hang itself."""
SIDE_S = 120.0
BLIND = "blind on this machine"
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
HARNESS = (sys.executable, "-m", "harness")


class Run(msgspec.Struct, kw_only=True):
    """The verdict on one run."""

    program: str
    turn: int
    outcome: str | None
    """None where there is no run.json."""
    cause: str | None = None
    proven: bool = False
    end: str = ""
    """The kind of the end of the chain of what is hung."""
    doubted: list[str] = []
    """The ends of the doubts that were said."""
    said_s: float | None = None
    """Seconds from the last step to the first word of it: the doubt, or the proof."""
    step_p99_s: float | None = None
    says: str = ""
    blind: bool = False
    """It was said that something could not be seen."""
    harmed: bool = False
    """What `attach` looked at did not go on as it would have."""
    left: list[str] = []
    """Processes that were there after the harness had ended."""
    wall_s: float

    @property
    def verdict(self) -> str:
        proven = ", proven" if self.proven else ""
        return f"{self.outcome}/{self.cause}{proven}" if self.cause else str(self.outcome)


class Running:
    """The processes of the runs that go on; each leads a session."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()

    @contextlib.contextmanager
    def started(self, argv: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(argv, start_new_session=True, **options)
        self._processes.add(process)
        try:
            yield process
        finally:
            _kill(process)
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            self._processes.discard(process)

    def end(self) -> None:
        for process in list(self._processes):
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def go(
    program: Program,
    corpus: Corpus,
    turn: int,
    given: dict[str, str | None],
    running: Running,
    harness: Sequence[str] = HARNESS,
) -> Run:
    """Run a program once. Its folder lies beside what the corpus has made."""
    folder = corpus.folder / f"run-{program.name}-{turn}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    mark = f"{program.name}-{turn}-{os.getpid()}-{time.monotonic_ns()}"
    options = {"cwd": folder, "env": environment(**{MARK: mark})}
    target = None
    with contextlib.ExitStack() as stack:
        stack.callback(_end_marked, mark)
        out = stack.enter_context((folder / "output").open("wb"))
        options |= {"stdout": out, "stderr": out}
        if program.attaches:
            argv = _words(program.command, program, corpus, folder)
            target = stack.enter_context(running.started(argv, stdin=subprocess.DEVNULL, **options))
            time.sleep(float(program.labels.get("after", 5)))
        line = harness_line(program, corpus, folder, given, target.pid if target else 0)
        argv = [*harness, *line]
        began = time.monotonic()
        terminal = "pty" in program.labels
        process = stack.enter_context(
            running.started(
                [sys.executable, "-c", TERMINAL, *argv] if terminal else argv,
                stdin=subprocess.PIPE if terminal else subprocess.DEVNULL,
                **options,
            )
        )
        if side := program.labels.get("side"):
            shell = ["bash", "-c", corpus.fill(side, program, folder)]
            stack.enter_context(_beside(shell, running))
        if terminal:
            assert process.stdin is not None
            _type_later(process.stdin, program)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(program.budget_s + LATE_S)
        wall_s = time.monotonic() - began
        left = _left(mark, {target.pid} if target else set())
        harmed = target is not None and not _goes_on(target)
    fields = verdict(folder) | {"blind": BLIND in (folder / "output").read_text(errors="replace")}
    return Run(program=program.name, turn=turn, wall_s=wall_s, left=left, harmed=harmed, **fields)


def harness_line(
    program: Program, corpus: Corpus, folder: Path, given: dict[str, str | None], pid: int
) -> list[str]:
    """The harness's arguments for a program; `given` are options that overrule its own."""
    options = [word for name, value in given.items() if value for word in (name, value)]
    line = program.labels.get("harness")
    if line is None:
        return [
            *("watch", "--budget", f"{program.budget_s:g}", "--out", str(folder / "out")),
            *(*shlex.split(program.labels.get("opts", "")), *options, "--"),
            *_words(program.command, program, corpus, folder),
        ]
    more = {"@O": str(folder / "out"), "@N": str(pid)}
    command, *rest = [corpus.fill(word, program, folder, **more) for word in shlex.split(line)]
    return [command, *rest, *([] if program.attaches else options)]


def _words(line: str, program: Program, corpus: Corpus, folder: Path) -> list[str]:
    return [corpus.fill(word, program, folder) for word in shlex.split(line)]


@contextlib.contextmanager
def _beside(shell: list[str], running: Running) -> Iterator[None]:
    with running.started(shell, stdin=subprocess.DEVNULL) as side:
        yield
        if "/sys/fs/cgroup/" in shell[-1]:  # it undoes what it did to the machine
            with contextlib.suppress(subprocess.TimeoutExpired):
                side.wait(SIDE_S)


def _type_later(typed: IO[bytes], program: Program) -> None:
    def write() -> None:
        with contextlib.suppress(OSError, ValueError):
            typed.write(program.labels.get("text", "y").encode() + b"\n")
            typed.flush()

    timer = threading.Timer(float(program.labels.get("answer", 70)), write)
    timer.daemon = True
    timer.start()


def verdict(folder: Path) -> dict[str, Any]:
    """The fields of a `Run` that run.json has."""
    files = sorted((folder / "out").glob("*/run.json"))
    if not files:
        return {"outcome": None, "says": (folder / "output").read_text(errors="replace")[-300:]}
    (result,) = json.loads(files[-1].read_text())["results"]
    cause = result.get("cause") or {}
    doubts = result.get("doubts", [])
    said = doubts[0]["said_s"] if doubts else result.get("detected_at_s")
    stalled = result.get("stalled_at_s")
    steps = result.get("metrics", {}).get("step_s") or {}
    return {
        "outcome": result["outcome"],
        "said_s": None if said is None or stalled is None else said - stalled,
        "step_p99_s": steps.get("p99"),
        "cause": cause.get("code"),
        "proven": bool(cause.get("proven")),
        "end": cause.get("evidence", {}).get("end", {}).get("kind", ""),
        "doubted": sorted({doubt["end"]["kind"] for doubt in doubts if doubt["end"]}),
        "says": (cause.get("summary") or result.get("reason") or "")[:300],
    }


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _left(mark: str, but: set[int]) -> list[str]:
    """The names of the processes that the harness has left behind."""
    time.sleep(0.3)  # those that are being ended
    names = []
    for process in _marked(mark):
        with contextlib.suppress(psutil.Error):
            if not but & {process.pid, *(parent.pid for parent in process.parents())}:
                names.append(process.name())
    return names


def _end_marked(mark: str) -> None:
    for process in _marked(mark):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _goes_on(target: subprocess.Popen[bytes]) -> bool:
    """It runs, or it has ended well by itself."""
    if target.poll() is not None:
        return target.returncode == 0
    with contextlib.suppress(psutil.Error):
        return psutil.Process(target.pid).status() != psutil.STATUS_STOPPED
    return True
