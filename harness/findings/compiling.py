"""What tracing shows. Traces are counted; nothing is guessed from the time."""

from __future__ import annotations

from harness.model import Finding, Settings, Severity
from harness.record import Record

CODES = {
    "double_trace": "the compiled step was traced in steps 0 and 1, and not again",
    "retrace_every_step": "the compiled step is traced again in nearly every step",
    "compile_disabled": "mx.compile does nothing here: the step ran uncompiled",
}


def _works(record: Record) -> bool:
    disabled = record.end is not None and record.end.compile_works is False
    return bool(record.calls) and record.calls[-1] > 0 and not disabled


def _traced_in(record: Record) -> list[int]:
    """The steps in which something was traced."""
    before = 0
    steps = []
    for step, traces in zip(record.step, record.traces, strict=True):
        if traces > before:
            steps.append(step)
        before = traces
    return steps


def double_trace(record: Record, settings: Settings) -> Finding | None:
    if not _works(record) or len(record.step) < 3 or _traced_in(record) != [0, 1]:
        return None
    return Finding(
        code="double_trace",
        severity=Severity.WARNING,
        summary="the compiled step was traced in step 0 and again in step 1, as when the first "
        "call creates the optimizer state (optimizer.init beforehand avoids it)",
        evidence={"traces": record.traces[-1], "steps": [0, 1]},
    )


def retrace_every_step(record: Record, settings: Settings) -> Finding | None:
    traced = _traced_in(record)
    if not _works(record) or len(record.step) < 4 or len(traced) < 0.8 * len(record.step):
        return None
    return Finding(
        code="retrace_every_step",
        severity=Severity.WARNING,
        summary=f"traced in {len(traced)} of {len(record.step)} steps: a changing shape or Python "
        "constant, or a function that is compiled anew each time",
        evidence={"traces": record.traces[-1], "steps_traced": len(traced)},
    )


def compile_disabled(record: Record, settings: Settings) -> Finding | None:
    if record.end is None or record.end.compile_works is not False:
        return None
    return Finding(
        code="compile_disabled",
        severity=Severity.WARNING,
        summary="mx.compile does nothing here (no C++ compiler on the CPU, MLX_DISABLE_COMPILE, or "
        "mx.disable_compile): the step ran uncompiled",
        evidence={"calls": record.calls[-1] if record.calls else 0},
    )


DETECTORS = (double_trace, retrace_every_step, compile_disabled)
