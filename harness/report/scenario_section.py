"""One scenario's part of the report, block by block."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any

from harness.model import ScenarioInfo, ScenarioResult
from harness.record import NOT_WORK, Record
from harness.report import charts as chart
from harness.report.text import cell, details, fence, plain, seconds, size, table
from harness.report.verdicts import SYMBOLS

LOG_LINES = 20
CHARTED = ("loss_exploded", "loss_not_finite", "loss_spike")


def numbers(info: ScenarioInfo, results: Sequence[ScenarioResult]) -> str:
    """Title, what it varies, a row of figures a repeat, the phases and the findings."""
    many = len(results) > 1
    titles = [
        "outcome",
        "steps",
        "first",
        "median",
        "p99",
        "max",
        "last loss",
        "active",
        "peak",
        "RSS",
    ]
    rows = [([str(r.repeat)] if many else []) + _figures(r) for r in results]
    lines = [f"### {info.name}", cell(info.summary)]
    lines.append(table((["repeat"] if many else []) + titles, rows, "r" * many + "l" + "r" * 9))
    phases = {n: s for n, s in results[0].metrics.phase_s.items() if s and n not in NOT_WORK}
    if phases:
        each = ", ".join(f"{cell(name)} {seconds(value)}" for name, value in phases.items())
        lines.append(f"Median by phase: {each}.")
    found = {f.code: f for r in results for f in r.findings}
    told = [
        f"- `{f.code}`{' (expected)' if f.expected else ''}: {cell(f.summary)}"
        for f in found.values()
    ]
    reasons = dict.fromkeys(r.reason for r in results if r.reason)
    told += [f"- {cell(reason)}" for reason in list(reasons)[:5]]
    return "\n\n".join([*lines, "\n".join(told)] if told else lines)


def _figures(result: ScenarioResult) -> list[str]:
    m = result.metrics
    times = m.step_s
    memory = m.memory
    loss = f"{m.loss.last:.5g}" if m.loss else "–"
    clock = [times.first, times.median, times.p99, times.max] if times else []
    return [
        f"{SYMBOLS[result.outcome]} {result.outcome.value}",
        f"{result.steps_completed}/{result.steps_requested}",
        *([seconds(value) for value in clock] or ["–"] * 4),
        loss,
        _in_p(memory.active_peak, memory.active_over_p),
        _in_p(
            memory.peak_over_p and memory.parameter_bytes
            and memory.peak_over_p * memory.parameter_bytes,
            memory.peak_over_p,
        ),
        size(memory.rss_peak),
    ]  # fmt: skip


def _in_p(count: float | None, over_p: float | None) -> str:
    if over_p is None:
        return size(count)
    return f"{size(count)} ({over_p:.1f} P)"


def cause(result: ScenarioResult) -> str:
    """Why it hangs, with the evidence."""
    assert result.cause is not None
    found = result.cause
    how = "proven" if found.proven else "confirmed by lack of progress, not proven"
    rows = [[cell(key), cell(_brief(value))] for key, value in found.evidence.items()]
    when = ""
    if result.stalled_at_s is not None and result.detected_at_s is not None:
        when = (
            f" Last progress {seconds(result.stalled_at_s)} after the start, verdict at "
            f"{seconds(result.detected_at_s)}."
        )
    text = f"**{cell(found.code)}** ({how}): {cell(found.summary)}.{when}"
    return text + ("\n\n" + table(["evidence", ""], rows) if rows else "")


def _brief(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "; ".join(" ".join(str(part) for part in item.values()) for item in value)
    return str(value)


def charts(result: ScenarioResult, written: Record) -> Iterator[str]:
    """The curves that say something: a loss that moves oddly, a jump in time, growing memory."""
    codes = {finding.code for finding in result.findings}
    name = result.scenario
    drawn = []
    if name == "baseline_update" or codes & set(CHARTED):
        drawn.append(chart.line(f"{name}: loss", "loss", written.loss_step, written.loss))
    if name == "baseline_update" or codes & {"step_time_jump", "slow_step"}:
        times = [1e3 * value for value in written.seconds]
        drawn.append(chart.line(f"{name}: step time", "ms", written.step, times))
    if "memory_growth" in codes:
        active = [value / 2**20 for value in written.active]
        drawn.append(chart.line(f"{name}: active memory", "MiB", written.step, active))
    yield from (one for one in drawn if one is not None)


def code(info: ScenarioInfo) -> str:
    """The scenario's source without its docstring: the difference, ready to paste."""
    return details(f"Code of {info.name}", fence(_without_docstring(info.source), "python"))


def _without_docstring(source: str) -> str:
    try:
        first = ast.parse(source).body[0]
    except (SyntaxError, IndexError):
        return source
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        return source
    return "\n".join(source.splitlines()[first.end_lineno :]).strip("\n")


def log(tail: str) -> str | None:
    """The end of the worker's output; None when it wrote nothing."""
    lines = plain(tail).rstrip().splitlines()[-LOG_LINES:]
    if not any(line.strip() for line in lines):
        return None
    short = [line if len(line) <= 300 else line[:299] + "…" for line in lines]
    return details("End of its output", fence("\n".join(short), "text"))
