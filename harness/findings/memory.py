"""What grows from step to step: active memory, and the graph that waits to be evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness import stats
from harness.findings.make import warning
from harness.model import Finding
from harness.record import Record

WARM_UP = 2
"""Steps left out: optimizer state and the first deferred backward pass arrive in steps 0 and 1."""
MATERIAL = 0.2
"""Growth over the whole run, in units of P, below which it does not matter."""
MATERIAL_BYTES = 1 << 20
"""The same where P is not known."""
SMALL = 1 << 16
"""Bytes below which no growth matters, however small P is."""
NODES_PER_STEP = 5.0
"""Reading only the loss leaves one or two unused scalars a step behind, which is harmless."""
NODES_TOTAL = 0.5
"""Growth relative to the first graph that was looked at."""


def memory_growth(record: Record) -> Iterator[Finding]:
    warm_up = max(WARM_UP, len(record.active) // 10)
    points = [
        (warm_up + index, float(size))
        for index, size in stats.blocks(record.active[warm_up:])
        if size >= 0
    ]
    if len(points) < 4:
        return
    known = record.model is not None and record.model.trainable_bytes > 0
    unit = float(record.model.trainable_bytes) if known and record.model else points[0][1]
    slope = stats.theil_sen(points)
    last = stats.theil_sen(points[-max(3, len(points) // 3) :])
    growth = slope.low * (points[-1][0] - points[0][0])
    if growth <= max(MATERIAL * unit, SMALL if known else MATERIAL_BYTES):
        return
    if last.value < slope.value / 3:  # it has come to rest
        return
    steps = record.step[warm_up], record.step[-1]
    name = "P" if known else "times its first size"
    yield warning(
        "memory_growth",
        f"active memory grows by {slope.value / unit:.2f} {name} per step "
        f"(+-{slope.margin / unit:.2f}) over steps {steps[0]} to {steps[1]}",
        p_per_step=slope.value / unit if known else None,
        p_per_step_margin=slope.margin / unit if known else None,
        bytes_per_step=round(slope.value),
        first_step=steps[0],
        last_step=steps[1],
        growth_bytes=round(slope.value * (points[-1][0] - points[0][0])),
    )


def graph_growth(record: Record) -> Iterator[Finding]:
    # Step 0 is left out: from step 1 on, the update of the step before may wait in the graph too.
    points = [
        (step, nodes) for step, nodes in zip(record.node_step, record.nodes, strict=True) if step
    ]
    if len(points) < 3:
        return
    if any(d - b <= NODES_PER_STEP * (c - a) for (a, b), (c, d) in pairwise(points)):
        return
    (first_step, first), (last_step, last) = points[0], points[-1]
    if last - first <= NODES_TOTAL * first:
        return
    slope = (last - first) / (last_step - first_step)
    yield warning(
        "graph_growth",
        f"the graph that waits to be evaluated grows by {slope:.0f} operations per step: "
        f"{first} at step {first_step}, {last} at step {last_step}",
        nodes_per_step=slope,
        first_step=first_step,
        first=first,
        last_step=last_step,
        last=last,
        depth_last=record.depth[-1] if record.depth[-1] >= 0 else None,
    )
