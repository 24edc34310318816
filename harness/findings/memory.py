"""Whether memory or the pending graph grow from step to step."""

from __future__ import annotations

from harness.model import Finding, Settings, Severity
from harness.record import Record
from harness.stats import slope

CODES = {
    "memory_growth": "active memory grows in every step",
    "graph_growth": "the graph of pending operations grows in every step",
}
LEAST_BYTES = 1 << 20
"""Growth over the whole run below this is the allocator's business."""


def memory_growth(record: Record, settings: Settings) -> Finding | None:
    """A slope that is surely positive, that matters, and that has not ended.

    The first steps are left out: buffers and optimizer state are made there. Growth that levels
    off is no leak, so the last third must carry at least half its share.
    """
    skipped = min(3, len(record.step) // 4)
    steps, active = record.step[skipped:], record.active[skipped:]
    if len(steps) < 5 or min(active) < 0:
        return None
    found = slope(steps, active)
    span = steps[-1] - steps[0]
    p = record.model.trainable_bytes if record.model else 0
    grown = found.low * span
    third = len(steps) // 3
    recent = active[-1] - active[-1 - third]
    if grown < max(LEAST_BYTES, 0.2 * p) or recent < 0.5 * grown * third / len(steps):
        return None
    each = f"{found.value / p:.3g} P" if p else f"{found.value / 2**20:.3g} MiB"
    return Finding(
        code="memory_growth",
        severity=Severity.ERROR,
        summary=f"active memory grows by {each} a step over steps {steps[0]} to {steps[-1]}, "
        f"{(active[-1] - active[0]) / 2**20:.1f} MiB in all",
        evidence={
            "bytes_per_step": found.value,
            "low": found.low,
            "high": found.high,
            "p_per_step": found.value / p if p else None,
            "p_low": found.low / p if p else None,
            "p_high": found.high / p if p else None,
            "first_step": steps[0],
            "last_step": steps[-1],
        },
    )


def graph_growth(record: Record, settings: Settings) -> Finding | None:
    """Every sampled step from step 1 on has clearly more pending than the one before.

    A loop that reads its loss adds an operation or two a step (schedules, unused scalars); one
    that evaluates nothing adds a whole step's graph.
    """
    sampled = [
        (step, nodes)
        for step, nodes in zip(record.node_step, record.nodes, strict=True)
        if step > 0
    ]
    if len(sampled) < 4:
        return None
    rates = [
        (n2 - n1) / (s2 - s1)
        for (s1, n1), (s2, n2) in zip(sampled, sampled[1:], strict=False)
        if s2 > s1
    ]
    if min(rates) < max(10, 0.05 * sampled[0][1]):
        return None
    (s1, n1), (s2, n2) = sampled[0], sampled[-1]
    return Finding(
        code="graph_growth",
        severity=Severity.ERROR,
        summary=f"the pending graph grows by {(n2 - n1) / (s2 - s1):.0f} operations a step: "
        f"{n1} in step {s1}, {n2} in step {s2}",
        evidence={"per_step": (n2 - n1) / (s2 - s1), "steps": [s1, s2], "nodes": [n1, n2]},
    )


DETECTORS = (memory_growth, graph_growth)
