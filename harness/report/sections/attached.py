"""The section on an attached process: a row for each process of its tree."""

from __future__ import annotations

from typing import Any

from harness.model import ScenarioResult
from harness.report.input import ReportInput
from harness.report.text import NOTHING, cell, table
from harness.text.units import percent, size, throughput

CODE = "attached"
"""The code of the finding that holds it; the runs of other commands have none."""
ROWS = 24
TITLES = ("process", "answer", "what it does", "CPU", "I/O", "RSS")


def attached(data: ReportInput) -> str:
    """The answer for the tree, its processes with the odd one out first, and what was not read."""
    attachment_list = [evidence for result in data.run.results for evidence in attachments(result)]
    return "\n\n".join(_section(evidence) for evidence in attachment_list)


def attachments(result: ScenarioResult) -> list[dict[str, Any]]:
    """The evidence on the process of `result`; empty unless the harness attached to it."""
    return [finding.evidence for finding in result.findings if finding.code == CODE]


def ranks(result: ScenarioResult) -> dict[int, int]:
    """The rank of each process of an attached job."""
    processes = [
        process for evidence in attachments(result) for process in evidence.get("processes", [])
    ]
    return {process["pid"]: process["rank"] for process in processes if "rank" in process}


def _section(evidence: dict[str, Any]) -> str:
    processes = evidence.get("processes", [])
    parts = [
        f"## Answer: {cell(str(evidence.get('answer')), 40)}",
        cell(str(evidence.get("summary")), 600) + ".",
        table(TITLES, [_row(process) for process in processes[:ROWS]], "lllrrr", 12_000),
    ]
    if len(processes) > ROWS:
        parts.append(f"and {len(processes) - ROWS} more processes.")
    parts += [f"Not read: {cell(str(reason), 240)}." for reason in evidence.get("not_read", [])]
    return "\n\n".join(part for part in parts if part)


def _row(process: dict[str, Any]) -> list[str]:
    watched, io, rss = process.get("watched_s"), process.get("io_bytes"), process.get("rss")
    cpu = process.get("cpu")
    rank = "" if process.get("rank") is None else f"rank {process['rank']}: "
    return [
        f"{rank}{process.get('pid')} {cell(str(process.get('name', '')), 80)}",
        cell(str(process.get("answer")), 40),
        cell(str(process.get("summary")), 300),
        NOTHING if cpu is None else percent(cpu),
        throughput(io / watched) if io and watched else NOTHING if io is None else "0",
        NOTHING if rss is None else size(rss),
    ]
