"""Mermaid charts, which GitHub draws from their text."""

from __future__ import annotations

import math
from collections.abc import Sequence

POINTS = 50


def line(title: str, unit: str, steps: Sequence[int], values: Sequence[float]) -> str | None:
    """A line chart of `values` over `steps`; None when there are fewer than three finite ones."""
    pairs = [(s, v) for s, v in zip(steps, values, strict=True) if math.isfinite(v)]
    if len(pairs) < 3:
        return None
    pairs = downsample(pairs)
    xs = ", ".join(str(step) for step, _ in pairs)
    ys = ", ".join(f"{value:.4g}" for _, value in pairs)
    low = min(0.0, *(value for _, value in pairs))
    high = max(value for _, value in pairs)
    top = high if high > low else low + 1
    return (
        "```mermaid\nxychart-beta\n"
        f'    title "{title}"\n'
        f'    x-axis "step" [{xs}]\n'
        f'    y-axis "{unit}" {low:.4g} --> {top:.4g}\n'
        f"    line [{ys}]\n```"
    )


def downsample(pairs: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most POINTS of the pairs: each slice's lowest and highest, so that no spike is lost."""
    if len(pairs) <= POINTS:
        return list(pairs)
    kept: list[tuple[int, float]] = []
    slices = POINTS // 2
    for i in range(slices):
        part = pairs[i * len(pairs) // slices : (i + 1) * len(pairs) // slices]
        ends = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
        kept.extend(sorted(ends))
    return kept
