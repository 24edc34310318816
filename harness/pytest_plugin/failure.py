"""The message of a failed test: its headline, stacks, output, and the path of the report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.analysis.headline import of as headline_of
from harness.api import Run
from harness.model import Outcome
from harness.report import screen, summary
from harness.report.stacks import rank_of
from harness.report.text import line
from harness.stacks import wait_site
from harness.stacks.parse import PARSERS, Frame, ThreadStack, parse
from harness.stacks.parse.frames import UNKNOWN
from harness.text.sanitize import sanitize
from harness.text.units import duration

THREADS = 6
FRAMES = 12
"""The number of frames of a thread, from the innermost on."""
LOG_LINES = 15
LOG_BYTES = 1 << 14


def failure(run: Run, *wrong: str) -> str:
    """The message for a run that is not as expected; `wrong` says what else differs."""
    aside = f" ({'; '.join(wrong)})" if wrong else ""
    return "\n".join([f"{run.scenario} {headline(run)}{aside}", *_details(run)])


def headline(run: Run) -> str:
    """The first line, with the wait site of a hang: the summary of pytest shows this line alone."""
    site = summary.wait_site(run.result)
    return summary.verdict(run.result) + (f": {site}" if site else "")


def timeout(run: Run, limit: float, evidence: Mapping[str, Any]) -> str:
    """The message for a run that the limit of pytest-timeout ended; `evidence` is of its stacks."""
    site = line(str(evidence.get("wait_site", "")), 400) or summary.wait_site(run.result)
    at = summary.place(run.result)
    place = f"in {at}" if at else "before it began"
    if run.outcome is not Outcome.UNFINISHED:
        place = summary.verdict(run.result)  # it came just when the limit was reached
    first = f"Timeout (>{limit}s) from pytest-timeout: {run.scenario} {place}"
    return "\n".join([first + (f": {site}" if site else ""), *_details(run)])


def _details(run: Run) -> Iterator[str]:
    result = run.result
    yield from screen.below(headline_of(result))
    done = summary.steps(result)
    if result.stalled_at_s is not None and result.detected_at_s is not None:
        done += f"; last progress {duration(result.stalled_at_s)} after the start"
        done += f", verdict {duration(result.detected_at_s - result.stalled_at_s)} later"
    yield done
    yield from map(summary.format_finding, result.findings)
    yield from _stacks(run)
    for name in ("stdout", "stderr"):
        if tail := _tail(run.folder / f"{name}.log"):
            yield f"-- end of the worker's {name}"
            yield from tail
    yield f"report: {run.report}"


def _stacks(run: Run) -> Iterator[str]:
    """The stacks of the worker, then those of its child processes and of the ranks of its job."""
    folder = run.folder / "stacks"
    below = sorted(
        folder.glob("*/1-*.txt"), key=lambda file: (rank_of(file.parent.name) or 0, file)
    )
    files = sorted(folder.glob("1-*.txt")) + below
    started = run.record.start
    for file in files:
        tool = next((t for t in PARSERS if file.stem.startswith(f"1-{t}")), None)
        if tool is None:
            continue
        pid, owner = started.pid if started else 0, ""
        if file.parent != folder:
            name = file.parent.name
            rank, pid = rank_of(name), int(name) if name.isdecimal() else 0
            owner = f", process {pid}" if rank is None else f", rank {rank}"
        threads = parse(tool, file.read_text(encoding="utf-8", errors="replace"), pid)
        yield f"-- stacks by {tool}{owner}, innermost first"
        for thread in threads[:THREADS]:
            yield from _thread(thread)
        if len(threads) > THREADS:
            yield f"and {len(threads) - THREADS} more threads in {file}"


def _thread(thread: ThreadStack) -> Iterator[str]:
    name = f"thread {thread.tid or ''} {line(thread.name, 40)}".rstrip()
    yield f"{name}{' (main)' * thread.main}: {wait_site.wait_site(thread).description}"
    # The innermost frame, and of the others those that a person wrote.
    frames = [f for i, f in enumerate(thread.frames) if i == 0 or not _has_no_author(f)]
    for frame in frames[:FRAMES]:
        yield f"    {_frame(frame)}"


def _has_no_author(frame: Frame) -> bool:
    nameless = frame.function == UNKNOWN and frame.file is None
    return frame.system or frame.ours or nameless


def _frame(frame: Frame) -> str:
    where = f"{frame.file or '?'}:{frame.line}" if frame.line else frame.file or "?"
    return line(f"{where} in {frame.title}", 160)


def _tail(file: Path) -> list[str]:
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - LOG_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = re.split(r"\n+", sanitize(text).strip())
    return [text[:300] for text in lines[-LOG_LINES:] if text]
