"""What is measured of a scenario's run, in figures."""

from __future__ import annotations

import msgspec


class StepTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Wall time of a step in seconds: data to evaluation, graph sampling left out."""

    first: float
    median: float
    p99: float
    max: float
    second: float | None = None
    """Of step 1, which in a lazy framework may pay for step 0."""


class LossSummary(msgspec.Struct, frozen=True, kw_only=True):
    first: float
    last: float
    min: float | None
    """Over the finite losses; None when there are none."""
    max: float | None
    finite: bool


class MemorySummary(msgspec.Struct, frozen=True, kw_only=True):
    active_peak: int | None = None
    """Highest active memory seen when a step returned."""
    cache_peak: int | None = None
    rss_peak: int | None = None
    parameter_bytes: int | None = None
    """P: bytes of the trainable parameters."""
    active_over_p: float | None = None
    peak_over_p: float | None = None
    """Highest active memory inside any step, in P."""
    p_per_step: float | None = None
    """Slope of the active memory after the warm-up, in P; None below three points."""
    p_per_step_margin: float | None = None
    """Half the width of its 95 % confidence interval."""
    swap_growth: int | None = None
    """The most by which the machine's used swap exceeded what it was at the first look."""
    major_faults: int | None = None
    """Pages that were read in from a disk while it ran."""
    footprint_peak: int | None = None
    """Highest memory of its own, in RAM or not, of the worker and all it started."""
    swapped_peak: int | None = None
    compressed_peak: int | None = None
    pressure_peak: float | None = None
    pressure_level_peak: int | None = None
    unread: dict[str, str] = {}
    """Of the figures that are null, why they could not be read."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    step_s: StepTimes | None = None
    phase_s: dict[str, float] = {}
    """Median seconds of each phase after the first step."""
    loss: LossSummary | None = None
    memory: MemorySummary = MemorySummary()
    traces: int | None = None
    """None when nothing was compiled by the scenario."""
    graph_nodes_last: int | None = None
    parameters_changed: bool | None = None
    """Whether any trainable tensor changed; None when that could not be seen."""
    drain_s: float | None = None
