"""What was found of a process that was not started by the harness: a row a process of its tree."""

from __future__ import annotations

from typing import Any

from harness.model import ScenarioResult
from harness.report.input import ReportInput
from harness.report.text import NOTHING, cell, table
from harness.text.units import percent, size, throughput

FOUND = "attached"
"""The code of the finding that holds it; the runs of other commands have none."""
ROWS = 24
TITLES = ("process", "answer", "what it does", "CPU", "I/O", "RSS")


def attached(data: ReportInput) -> str:
    """The answer for the tree, its processes with the odd one out first, and what was not read."""
    found = [evidence for result in data.run.results for evidence in attachments(result)]
    return "\n\n".join(_one(evidence) for evidence in found)


def attachments(result: ScenarioResult) -> list[dict[str, Any]]:
    """What was found of the process that `result` is of; nothing unless it was attached to."""
    return [finding.evidence for finding in result.findings if finding.code == FOUND]


def ranks(result: ScenarioResult) -> dict[int, int]:
    """By process its rank, of the ranks of a job that was attached to."""
    processes = [one for found in attachments(result) for one in found.get("processes", [])]
    return {one["pid"]: one["rank"] for one in processes if "rank" in one}


def _one(evidence: dict[str, Any]) -> str:
    processes = evidence.get("processes", [])
    parts = [
        f"## Answer: {cell(str(evidence.get('answer')), 40)}",
        cell(str(evidence.get("summary")), 600) + ".",
        table(TITLES, [_row(one) for one in processes[:ROWS]], "lllrrr", 12_000),
    ]
    if len(processes) > ROWS:
        parts.append(f"and {len(processes) - ROWS} more processes.")
    parts += [f"Not read: {cell(str(told), 240)}." for told in evidence.get("not_read", [])]
    return "\n\n".join(part for part in parts if part)


def _row(one: dict[str, Any]) -> list[str]:
    watched, io, rss = one.get("watched_s"), one.get("io_bytes"), one.get("rss")
    cpu = one.get("cpu")
    rank = "" if one.get("rank") is None else f"rank {one['rank']}: "
    return [
        f"{rank}{one.get('pid')} {cell(str(one.get('name', '')), 80)}",
        cell(str(one.get("answer")), 40),
        cell(str(one.get("summary")), 300),
        NOTHING if cpu is None else percent(cpu),
        throughput(io / watched) if io and watched else NOTHING if io is None else "0",
        NOTHING if rss is None else size(rss),
    ]
