"""The part of `harness doctor` about a training: the memory that its scenarios will need."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from rich.table import Table

from harness.cli import consoles
from harness.memory.capacity import Bounded, Capacity
from harness.memory.law import Fit, Projection
from harness.session.forecast import Forecast, ForecastRow
from harness.text.units import count, number, plural, size


def document(projected: Forecast) -> dict[str, Any]:
    """The forecast without the traced operations."""
    model = msgspec.structs.asdict(projected.model)
    del model["trace"], model["merged"], model["memory"]
    rows = []
    for row in projected.rows:
        entry: dict[str, Any] = {"scenario": row.scenario, "fit": row.fit, "reason": row.reason}
        if row.projection is not None:
            entry |= msgspec.to_builtins(row.projection)
            entry["parts"] = dict(row.projection.parts)
            entry["active_over_p"] = row.projection.active_over_p
            entry["peak_over_p"] = row.projection.peak_over_p
        rows.append(entry)
    return {
        "model": model,
        "memory": projected.usable.memory,
        "memory_of": projected.usable.bound.value,
        "swap": projected.usable.swap,
        "scenarios": rows,
        "grad_checkpoint": projected.grad_checkpoint,
        "capacity": {
            "batch_size": msgspec.to_builtins(projected.batch),
            "seq_len": msgspec.to_builtins(projected.length),
        },
        "verdict": projected.verdict,
    }


def show(projected: Forecast, batch_size: int, seq_len: int) -> None:
    """Print the forecast for the batch asked for; equal projections share a row."""
    model = projected.model
    console = consoles.console(sys.stdout)
    if not console.is_terminal:
        console.width = max(console.width, 100)  # rich takes 80 for a pipe
    console.print(
        f"\n{plural(model.parameters, 'parameter')}, {count(model.trainable)} of them trained: "
        f"P = {size(model.trainable_bytes)} ({model.dtype}); "
        f"the trace allocated {size(model.allocated)}\n",
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("scenario", min_width=max(len(row.scenario) for row in projected.rows))
    for name in ("peak", "in P", "active"):
        table.add_column(name, justify="right")
    table.add_column("at the peak")
    same: dict[Projection | None, list[ForecastRow]] = {}
    for row in projected.rows:
        same.setdefault(row.projection, []).append(row)
    for projection, rows in same.items():
        names = "\n".join(row.scenario for row in rows)
        if projection is None:
            table.add_row(names, "", "", "", "\n".join(row.reason or "" for row in rows))
            continue
        table.add_row(
            names,
            size(projection.peak),
            number(projection.peak_over_p, 3),
            size(projection.active),
            ", ".join(f"{role} {size(n)}" for role, n in projection.parts),
        )
    console.print(table)
    found = "\n".join(capacity_lines(projected, batch_size, seq_len))
    console.print(
        f"\n{found}\n\n{projected.verdict}\n{_list_fits(projected)}",
        highlight=False,
        soft_wrap=True,
    )


def _list_fits(projected: Forecast) -> str:
    """The scenarios that fit into memory, that need swap, and that do not fit."""
    lines = []
    for fit in Fit:
        names = [row.scenario for row in projected.rows if row.fit is fit]
        if names:
            lines.append(f"{fit.value}: {', '.join(names)}")
    return "\n".join(lines)


def capacity_lines(projected: Forecast, batch_size: int, seq_len: int) -> list[str]:
    """The largest batch and the longest sequence that fit, each with the first that does not."""
    batch, length = projected.batch, projected.length
    return [
        f"largest batch of {plural(seq_len, 'token')}: {_bound(batch, 'sequence')}",
        f"longest sequence in a batch of {count(batch_size)}: {_bound(length, 'token')}",
        f"{plural(batch.traces + length.traces, 'more trace')} of the training showed that",
    ]


def _bound(found: Capacity, noun: str) -> str:
    after = plural(found.next, noun)
    if not found.largest:
        needs = "needs" if found.next == 1 else "need"
        return f"none; {after} {needs} {size(found.next_peak or 0)}"
    fits = f"{plural(found.largest, noun)} ({size(found.peak or 0)})"
    if found.bounded is Bounded.MODEL:
        return f"{fits}; the model is made for no more"
    if found.next_peak is None:
        return f"{fits}; MLX cannot hold {after} in one array"
    about = "about " if found.expected else ""
    return f"{fits}; {after} need {about}{size(found.next_peak)}"
