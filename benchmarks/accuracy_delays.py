"""The tables of docs/reference/accuracy.md about time: how soon a stall is proven or doubted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.accuracy_tables import Document, Line, cells, commit_of, share, table, total


def counted(document: Document) -> bool:
    """True if the runs in time were counted, as they are in each result of today."""
    return all("in_time" in cell for cell in document["result"])


def detection_lines(document: Document) -> Iterator[Line]:
    proven, others = _parted(document)
    commit = commit_of(document)
    if proven:
        in_time, runs = total(proven, "in_time", "runs")
        yield Line("Delays, deadlocks", "proven within 1.5 s", in_time, runs, commit)
    if others:
        in_time, runs = total(others, "in_time", "runs")
        yield Line("Delays, other stalls", "doubted in time", in_time, runs, commit)


def _parted(document: Document) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    proven = [cell for cell in document["result"] if cell["to_be_proven"]]
    return proven, [cell for cell in document["result"] if not cell["to_be_proven"]]


def detection_body(document: Document) -> Iterator[str]:
    proven, others = _parted(document)
    sure = [
        [
            *(f"`{cell['kind']}`", _seconds(cell["step_s"]), share(cell["proven"], cell["runs"])),
            *(_pair(cell["verdict_s"]), *cells(cell["in_time"], cell["runs"])),
        ]
        for cell in proven
    ]
    if sure:
        told = ("deadlock", "a step", "proven", "proven after, median / p95", "in time", "95 %")
        yield table(told, sure)
    rows = [
        [
            *(f"`{cell['kind']}`", _seconds(cell["step_s"]), _pair(cell["doubt_s"])),
            *(_seconds(cell["limit_s"]), *cells(cell["in_time"], cell["runs"])),
            *(share(cell["right_ends"], cell["doubted"]), _pair(cell["back_s"])),
        ]
        for cell in others
    ]
    if rows:
        head = ("stall", "a step", "doubted after, median / p95", "limit", "in time", "95 %",
                "right end", "taken back after, median / p95")  # fmt: skip
        yield table(head, rows)


def doubt_lines(document: Document) -> Iterator[Line]:
    runs, said, in_time, right = total(document["result"], "runs", "said", "in_time", "right_ends")
    title, commit = "Stalls and situations that hang", commit_of(document)
    yield Line(title, "doubted or proven in time", in_time, runs, commit)
    yield Line(title, "with the right end", right, said, commit)


def doubt_body(document: Document) -> Iterator[str]:
    rows = [
        [
            *(f"`{one['stall']}`", str(one["runs"]), _pair(one["said_s"])),
            *(_seconds(one["limit_s"]), share(one["in_time"], one["runs"])),
            share(one["right_ends"], one["said"]),
        ]
        for one in document["result"]
    ]
    head = ("stall", "runs", "said after, median / p95", "limit", "in time", "right end")
    yield table(head, rows)


def _pair(figures: dict[str, float]) -> str:
    if not figures:
        return "–"
    return f"{_seconds(figures['median'])} / {_seconds(figures['p95'])}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
