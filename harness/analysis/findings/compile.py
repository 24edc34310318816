"""Findings about traces of compiled functions: counted, never guessed from times."""

from __future__ import annotations

from collections.abc import Iterator
from operator import lt

from harness.beats.record import Record
from harness.model import Finding
from harness.model.finding import warning
from harness.text.units import plural

ALMOST_EVERY = 0.8
"""The share of the later steps that are traced anew."""


def compile_disabled(record: Record) -> Iterator[Finding]:
    if _disabled(record):
        calls = record.calls[-1] if record.calls else 0
        yield warning(
            "compile_disabled",
            "compilation is off: the compiled functions of the scenario run uncompiled "
            f"({plural(calls, 'call')}). Install a C++ compiler, or remove mx.disable_compile()",
            calls=calls,
            traces=record.traces[-1] if record.traces else 0,
        )


def retrace_every_step(record: Record) -> Iterator[Finding]:
    traces = record.traces
    if len(traces) < 3 or _disabled(record):
        return
    # The second half: what settled in the first is over, and steps 0 and 1 may trace.
    start = max(2, len(traces) // 2)
    late_steps = len(traces) - start
    retraced = sum(map(lt, traces[start - 1 : -1], traces[start:]))
    if retraced < ALMOST_EVERY * late_steps:
        return
    yield warning(
        "retrace_every_step",
        f"MLX traces the compiled step again in {retraced} of the last {late_steps} steps: "
        f"{traces[-1]} traces in {len(traces)} steps",
        retraced=retraced,
        looked=late_steps,
        traces=traces[-1],
        steps=len(traces),
    )


def double_trace(record: Record) -> Iterator[Finding]:
    traces = record.traces
    if len(traces) < 3 or not 0 < traces[0] < traces[1] == traces[-1]:
        return
    yield warning(
        "double_trace",
        "MLX traces the compiled step in steps 0 and 1, then no more: the first call created "
        "state that changed the inputs",
        traces=traces[-1],
        traces_step_0=traces[0],
        seconds_step_1=record.seconds[1],
    )


def _disabled(record: Record) -> bool:
    return record.end is not None and record.end.compile_works is False
