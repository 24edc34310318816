"""The parts that the benchmarks share: the run of a victim's step, the machine, and a table."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from harness.observe.environment import gather
from harness.stats import median, quantile

VICTIM = Path(__file__).with_name("victim.py")


def machine() -> str:
    """The machine and the versions, in one line."""
    env = gather()
    return (
        f"{env.platform}, {platform.processor() or env.machine}, {env.cpu_count} CPUs, "
        f"Python {env.python}, mlx {env.versions.get('mlx')}"
    )


def figures(values: Sequence[float]) -> dict[str, float]:
    """Median, p95 and the highest of `values`; empty without values."""
    if not values:
        return {}
    return {"median": median(values), "p95": quantile(values, 0.95), "max": max(values)}


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column left, the others right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for line in lines
    )


def save(file: Path | None, benchmark: str, result: Any) -> None:
    """Write the benchmark's JSON document, if a file was asked for."""
    if file is None:
        return
    document = {"benchmark": benchmark, "result": result, "environment": to_builtins(gather())}
    file.write_text(json.dumps(document, indent=1) + "\n")


def put(shown: str, page: str, name: str) -> str:
    """`page` with what stands between the marks `<!-- NAME: begin -->` and `end` replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the page has no {begin} ... {end}")
    return f"{before}{begin}\n{shown}\n{end}{after}"
