"""One scenario's part of the report, piece by piece; its charts are in `report.charts`."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness import stats
from harness.beats.record import NOT_WORK, Record
from harness.model import Cause, Finding, Outcome, ScenarioResult
from harness.report import repro
from harness.report.input import LOGS, Group, ReportInput
from harness.report.sections.verdicts import SYMBOLS, outcomes, place, steps
from harness.report.sections.verdicts import loss as loss_of
from harness.report.text import NOTHING, cell, code, details, fence, line, table
from harness.text import late
from harness.text.sanitize import sanitize
from harness.text.units import count, duration, number, percent, plural, size

LOG_LINES = 20
LOG_WIDTH = 300
KINDS = 8
"""Ways in which the runs of one scenario ended, and findings, that are listed at most."""
TOLD = 20
"""Figures of a log that are shown."""

LOOKS = 4
"""Sampled steps that are shown from the beginning of a run, and from its end."""

LABELS = {
    "stack_tool": "stacks taken by",
    "stack_attempts": "stack tools tried",
    "stacks_moved": "stacks moved",
    "wait_category": "kind of wait",
    "fingerprint": "fingerprint of the hang",
    "span_s": "seen still for",
    "still_s": "seen still for",
    "phase_s": "phase has lasted",
    "phase_max_s": "longest such phase before",
    "allowed_s": "phase may last",
    "looks": "times looked at",
    "threads": "threads",
    "waits_in": "waits in",
    "cpu_s": "CPU used",
    "switches": "context switches",
    "watched_s": "watched for",
    "wakes_in_s": "wakes in",
    "cpu": "cores used",
    "io_bytes": "data read and written",
    "major_faults": "pages read in",
    "minor_faults": "page faults",
    "rss": "resident memory",
    "gpu": "GPUs in use",
    "pid": "process",
    "decided_by": "decided by process",
    "culprits": "ranks at fault",
    "not_read": "not read",
}
"""Labels of the evidence, by its key in run.json."""
_SIZES = frozenset(("rss", "limit"))
"""Keys of the evidence that hold bytes, beside those that end in `_bytes`."""
_CALL = late.compile(r"(\w+) 0x[0-9a-f]+")
"""A system call and its first argument, an address that says nothing to a reader."""

Figure = Callable[[ScenarioResult], float | None]

Show = Callable[[float], str]


def _ratio(value: float) -> str:
    return number(value, 3)


def _pressure(value: float) -> str:
    """Format a pressure, which the kernel gives in per cent."""
    return percent(value / 100)


def _step_0(result: ScenarioResult) -> float | None:
    times = result.metrics.step_s
    return times.first if times and result.first_step_known else None


FIGURES: tuple[tuple[str, Figure, Show], ...] = (
    ("step 0", _step_0, duration),
    ("median step", lambda r: r.metrics.step_s.median if r.metrics.step_s else None, duration),
    ("p99", lambda r: r.metrics.step_s.p99 if r.metrics.step_s else None, duration),
    ("max", lambda r: r.metrics.step_s.max if r.metrics.step_s else None, duration),
    ("active", lambda r: r.metrics.memory.active_peak, size),
    ("active / P", lambda r: r.metrics.memory.active_over_p, _ratio),
    ("peak / P", lambda r: r.metrics.memory.peak_over_p, _ratio),
    ("RSS", lambda r: r.metrics.memory.rss_peak, size),
    ("footprint", lambda r: r.metrics.memory.footprint_peak, size),
    ("swapped", lambda r: r.metrics.memory.swapped_peak or None, size),
    ("page-ins", lambda r: r.metrics.memory.major_faults or None, count),
    ("page-outs", lambda r: r.metrics.memory.page_outs or None, count),
    ("decompressions", lambda r: r.metrics.memory.decompressions or None, count),
    ("pressure", lambda r: r.metrics.memory.pressure_peak or None, _pressure),
    ("traces", lambda r: r.metrics.traces, count),
    ("graph nodes", lambda r: r.metrics.graph_nodes_last, count),
    ("wall", lambda r: r.wall_s, duration),
)


def numbers(group: Group, data: ReportInput) -> str:
    """Its variation, its end, its figures, phases and findings."""
    worst, info = group.worst, group.info
    parts = []
    if info is not None and info.summary:
        parts.append(cell(info.summary))
    if info is not None and info.settings:
        own = ", ".join(f"{name} = {value!r}" for name, value in info.settings.items())
        parts.append(f"Its own settings: {cell(own)}.")
    parts.append(_endings(group.results) if len(group.results) > 1 else _ending(group))
    parts += [_figures(group.results), _phases(worst), _told(worst), _findings(group.results)]
    return "\n\n".join(part for part in parts if part)


def _ending(group: Group) -> str:
    """Describe the end of the only run."""
    result = group.worst
    text = f"**{outcomes(group)}**"
    if result.outcome is not Outcome.SKIPPED:
        if (done := steps([result])) != NOTHING:
            text += f", {done} step{'' if done == '1' else 's'}"
        text += f", loss {loss_of([result])}" if result.metrics.loss else ""
    return text + (f": {cell(result.reason, 320)}" if result.reason and not result.cause else "")


def _endings(results: Sequence[ScenarioResult]) -> str:
    """Describe the ends of the repeats, equal ends together."""
    kinds: dict[tuple[str, str], list[ScenarioResult]] = defaultdict(list)
    for result in results:
        ending = f"{SYMBOLS[result.outcome]} {result.outcome.value}"
        ending += f": {cell(result.cause.code, 40)}" if result.cause else ""
        kinds[ending, place(result).removeprefix(" in ").strip()].append(result)
    if len(kinds) == 1 and results[0].outcome is Outcome.COMPLETED:
        return f"**{ending}** in all {len(results)} runs, loss {loss_of(results)}"
    rows = [
        [
            ending,
            where or NOTHING,
            f"{len(same)}/{len(results)}",
            cell(", ".join(str(result.repeat) for result in same), 80),
            cell((same[0].cause and same[0].cause.summary) or same[0].reason or NOTHING),
        ]
        for (ending, where), same in sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    ]
    return table(("outcome", "last seen in", "runs", "repeats", "the first says"), rows[:KINDS]) + (
        f"\n\nand {len(rows) - KINDS} more ways." if len(rows) > KINDS else ""
    )


def _figures(results: Sequence[ScenarioResult]) -> str:
    """The figures; of several runs the lowest, the median and the highest of each."""
    if all(result.outcome is Outcome.SKIPPED for result in results):
        return ""
    columns = [
        (title, values, show)
        for title, figure, show in FIGURES
        if (values := [value for result in results if (value := figure(result)) is not None])
    ]
    titles = [title for title, _, _ in columns]
    if len(results) == 1:
        return table(titles, [[show(v[0]) for _, v, show in columns]], "r" * len(titles))
    rows = [
        [name, *(show(pick(values)) for _, values, show in columns)]
        for name, pick in (("lowest", min), ("median", stats.median), ("highest", max))
    ]
    return table(["of all runs", *titles], rows, "l" + "r" * len(titles))


def _phases(result: ScenarioResult) -> str:
    """The median of each phase, without those that are the harness's own."""
    phases = [
        f"{cell(name, 40)} {duration(value)}"
        for name, value in result.metrics.phase_s.items()
        if value and name not in NOT_WORK
    ]
    return f"Median by phase: {', '.join(phases[:12])}." if phases else ""


def _told(result: ScenarioResult) -> str:
    """The figures that its log gives beside the loss."""
    told = result.metrics.figures
    rows = [
        [
            code(line(one.name, 40)),
            number(one.first),
            number(one.last),
            NOTHING if one.min is None else number(one.min),
            NOTHING if one.max is None else number(one.max),
            f"{one.reads}" + (f", {one.not_finite} not finite" if one.not_finite else ""),
        ]
        for one in told[:TOLD]
    ]
    if not rows:
        return ""
    titles = ("its log also gives", "first", "last", "lowest", "highest", "reads")
    more = f"\n\nand {len(told) - TOLD} more figures." if len(told) > TOLD else ""
    return table(titles, rows, "lrrrrr") + more


def _findings(results: Sequence[ScenarioResult]) -> str:
    first: dict[str, Finding] = {}
    for result in results:
        for finding in result.findings:
            first.setdefault(finding.code, finding)
    runs = Counter(code for result in results for code in {f.code for f in result.findings})
    lines = [
        f"- {finding.severity.value} {code(name)}"
        + (" (expected)" if finding.expected else "")
        + (f", in {runs[name]} of {len(results)} runs" if len(results) > 1 else "")
        + f": {cell(finding.summary)}"
        for name, finding in first.items()
    ]
    return "\n".join(lines[:KINDS] + [f"- {len(lines) - KINDS} more"] * (len(lines) > KINDS))


def pending(record: Record) -> str:
    """The pending operations of the first and last sampled steps, and their growth."""
    samples = list(zip(record.node_step, record.nodes, record.depth, strict=True))
    if not samples:
        return ""
    returned = dict(
        zip(record.left_step, zip(record.carried, record.left, strict=True), strict=True)
    )
    rows = []
    for step, nodes, depth in samples[:LOOKS] + samples[LOOKS:][-LOOKS:]:
        carried, left = returned.get(step, (None, None))
        ran = None if left is None or left > nodes else nodes - left
        row = (step, nodes, depth if depth >= 0 else None, ran, carried, left)
        rows.append([NOTHING if value is None else count(value) for value in row])
    later = samples[1:]  # in step 0 no step before has left anything
    later = later[:: max(1, len(later) // stats.BLOCKS)]
    growth = ""
    if len(later) > 2:
        slope = stats.theil_sen([(float(step), float(nodes)) for step, nodes, _ in later])
        growth = f", growing by {count(slope.value)} a step" if slope.low > 0 else ""
    return (
        f"Pending operations{growth}. Looked at in {len(samples)} of "
        f"{plural(max(len(record.step), samples[-1][0] + 1), 'step')}, among them:\n\n"
        + table(("step", "pending", "depth", "run", "of earlier steps", "left"), rows, "r" * 6)
    )


def cause(group: Group, data: ReportInput) -> str:
    """The cause of a hang: proof, times, wait site, evidence and stacks."""
    result = group.worst
    if result.cause is None:
        return ""
    return "\n\n".join(part for part in _cause(result, result.cause, data) if part)


def _cause(result: ScenarioResult, cause: Cause, data: ReportInput) -> Iterator[str]:
    how = "proven" if cause.proven else "confirmed by lack of progress, not proven"
    which = f" of repeat {result.repeat}" if result.repeat else ""
    yield f"**Cause{which}: {cell(cause.code, 40)}** ({how}): {cell(cause.summary, 400)}"
    if result.stalled_at_s is not None and result.detected_at_s is not None:
        since = duration(result.detected_at_s - result.stalled_at_s)
        yield (
            f"Last progress {duration(result.stalled_at_s)} after the start; verdict {since} later."
        )
    if site := cause.evidence.get("wait_site"):
        yield f"Wait site: {code(brief(site), 400)}"
    rows = [
        (cell(LABELS.get(key, key), 60), cell(brief(value, key)))
        for key, value in cause.evidence.items()
        if key != "wait_site" and value is not None
    ]
    yield table(("evidence", "value"), rows, limit=4_000) if rows else ""
    if files := data.stacks(result):
        named = ", ".join(code(f"stacks/{name}", 120) for name in files[:KINDS])
        yield f"Stacks: {named}" + (f" and {len(files) - KINDS} more" * (len(files) > KINDS))


def brief(value: Any, key: str = "") -> str:
    """Format a value of the evidence in one line, with the unit that its `key` implies.

    Equal members of a list are counted together.
    """
    if isinstance(value, dict):
        return ", ".join(f"{LABELS.get(k, k)} {brief(item, k)}" for k, item in value.items())
    if isinstance(value, list | tuple):
        counts = Counter(brief(_without_ids(item)) for item in value)
        return "; ".join(f"{text} (× {n})" if n > 1 else text for text, n in counts.items())
    if isinstance(value, str) and (call := _CALL.fullmatch(value)):
        return call[1]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if key == "seconds" or key.endswith("_s"):
        return duration(value)
    if key in _SIZES or key.endswith("_bytes"):
        return size(value)
    return number(value, 3) if isinstance(value, float) else str(value)


def _without_ids(item: Any) -> Any:
    """A thread or process without its number, which nobody can look up any more."""
    if not isinstance(item, dict):
        return item
    return {key: part for key, part in item.items() if key not in ("pid", "tid") and part != ""}


def source(group: Group, data: ReportInput) -> str:
    """The scenario's source without its docstring, and that of the modules which lie beside it."""
    if group.info is None or not group.info.source.strip():
        return ""
    texts = [fence(without_docstring(group.info.source), "python")]
    beside = repro.beside(group.info, data.siblings(group))
    texts += [
        f"{code(f'{name}.py')}, beside it:\n\n{fence(text, 'python')}" for name, text in beside
    ]
    return details(f"Code of {group.name}", "\n\n".join(texts))


def without_docstring(text: str) -> str:
    """Python source without the docstring of the module; as it is when it cannot be parsed."""
    try:
        first = ast.parse(text).body[0]
    except (SyntaxError, ValueError, IndexError, RecursionError):
        return text
    is_docstring = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    if not is_docstring or first.end_lineno is None:
        return text
    lines = text.splitlines()
    return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :]).strip("\n")


def log_tail(group: Group, data: ReportInput) -> str:
    """The last lines of the worker's output; empty when it wrote nothing."""
    tails = data.log_tails(group.worst)
    blocks = [
        f"{name}:\n\n{fence(text, 'text')}"
        for name in LOGS
        if (text := last_lines(tails.get(name, "")))
    ]
    if not blocks:
        return ""
    which = f", repeat {group.worst.repeat}" if group.worst.repeat else ""
    return details(f"End of the output of {group.name}{which}", "\n\n".join(blocks))


def last_lines(tail: str) -> str:
    """The end of a log as plain text, long lines shortened."""
    lines = sanitize(tail).rstrip().split("\n")[-LOG_LINES:]
    return "\n".join(line(text, LOG_WIDTH) if len(text) > LOG_WIDTH else text for text in lines)
