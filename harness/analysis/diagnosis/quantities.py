"""The figures behind a verdict: memory against the machine, slopes, traces, wait sites. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.diagnosis.effects import Reference
from harness.analysis.diagnosis.hypotheses import Kind
from harness.analysis.diagnosis.symptoms import FAULTS, SWAP, Facts, describe, end_of, waits
from harness.analysis.findings.learning import REASONS
from harness.memory.law import STATE
from harness.model import Environment, Finding, Settings
from harness.stats import wilson
from harness.text.units import duration, number, percent, plural, size

AMPLE = 0.5
"""A measured peak below this share of the memory excludes that it is too little."""
FEW_TRACES = 2

_SIGN_CODES = {
    Kind.GROWING: ("memory_growth",),
    Kind.CACHING: ("cache_growth",),
    Kind.VARIED: ("shapes_growth",),
    Kind.RETRACED: ("retrace_every_step", "double_trace"),
    Kind.PILING: ("graph_growth", "deferred_work"),
    Kind.MISMATCH: ("check_failed",),
    Kind.SLOW_DATA: ("step_time_jump",),
    Kind.UNTAUGHT: REASONS,
    Kind.NO_MEMORY: ("memory_limited", "oom_killer"),
}


def weigh(
    id: str, base: Reference, environment: Environment, settings: Settings | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(figures for, figures against) a hypothesis, of the runs that show its symptom."""
    if id == "memory":
        return _memory(base, environment, settings)
    if id == "retrace":
        traces = [run.result.metrics.traces for run in base.affected]
        if settings is not None and all(count is None for count in traces):
            return (), ("the step compiles nothing",)
        if all(count is not None and count <= FEW_TRACES for count in traces):
            return (), (f"traced {plural(max(count or 0 for count in traces), 'time')} in all",)
    if id == "deadlock" and any(end_of(run.result) == "gpu_works" for run in base.affected):
        return (), ("the GPU works: nothing there waits for what cannot come",)
    return (), ()


def _memory(
    base: Reference, environment: Environment, settings: Settings | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    memory = [run.result.metrics.memory for run in base.affected]
    p = next((m.parameter_bytes for m in memory if m.parameter_bytes), None)
    swap = max((m.swap_growth or 0 for m in memory), default=0)
    faults = max((m.major_faults or 0 for m in memory), default=0)
    measured = max((m.peak_over_p or 0.0 for m in memory), default=0.0) * (p or 0)
    usable = environment.usable_memory or environment.memory
    has = f"{environment.usable_of.sentence} {size(usable)}"
    # The whole peak depends on shapes that are not known here; this much is sure.
    held = 1 + (STATE[settings.optimizer] if settings else 0.0)
    figures = []
    if measured > usable:
        figures.append(f"peaks at {size(measured)}; {has}")
    elif p and held * p > usable:
        figures.append(
            f"parameters and optimizer state alone need {number(held)} P = {size(held * p)}; {has}"
        )
    if swap >= SWAP:
        figures.append(f"used swap grew by {size(swap)}")
    if faults >= FAULTS:
        figures.append(f"{plural(faults, 'page')} were read back from a disk")
    if figures:
        return tuple(figures), ()
    if any(Kind.PROVEN in run.kinds for run in base.affected):
        return (), ("a proven deadlock does not wait for memory",)
    # Only what was measured excludes it: frozen weights and activations are in no formula here.
    # A limit on the process is not seen either, so that a kill excludes nothing.
    came_far = all(run.steps > 1 for run in base.affected)
    slow_or_dead = base.wanted <= {Kind.DEAD, Kind.SLOW, Kind.JUMP}
    if measured and came_far and slow_or_dead and measured < AMPLE * usable:
        return (), (f"peaks at {size(measured)}, and {has}",)
    return (), ()


def measured(id: str, run: Facts) -> bool:
    """Return True if the run has the figure of a hypothesis: outside commands report less."""
    metrics = run.result.metrics
    if id == "leak":
        return metrics.memory.active_peak is not None
    if id == "deferred":
        # A log's first report has no time, so nothing says what step 0 left to step 1.
        return run.result.first_step_known
    if id == "data":
        return "data" in metrics.phase_s
    if id == "retrace":
        return metrics.traces is not None
    if id == "learning":
        return metrics.parameters_changed is not None
    if id == "shapes":
        return metrics.memory.cache_peak is not None
    return True


def sign(run: Facts, signs: frozenset[Kind]) -> str:
    """The sentence for a run that shows one of `signs`, with its figures."""
    kind = next(kind for kind in reversed(Kind) if kind in run.kinds & signs)
    finding = _finding(run, _SIGN_CODES.get(kind, ()))
    if finding is not None:
        return f"{run.name}: {finding.summary}"
    if kind is Kind.NOT_FINITE and run.result.origin is not None:
        return f"{run.name}: {run.result.origin.summary}"
    cause = run.result.cause
    if cause is not None:
        # `deadlock in phase forward of step 3: ...`: the place has been told.
        why = (cause.proven and cause.summary.partition(": ")[2]) or cause.summary
        return f"{describe([run])}: {waits(run) or why}"
    return describe([run]) + (f": {run.result.reason}" if run.result.reason else "")


def _finding(run: Facts, codes: Sequence[str]) -> Finding | None:
    return next((f for code in codes for f in run.result.findings if f.code == code), None)


def may_hide(runs: Sequence[Facts]) -> float:
    """The share of runs in which something can come, and yet be seen in none of these."""
    return wilson(0, len(runs))[1]


def clean_runs(unseen: float) -> int:
    """The number of runs without a symptom that excludes one in `unseen` of all runs."""
    return next(n for n in range(1, 1_000) if wilson(0, n)[1] <= unseen)


def contrast(base: Reference, others: Sequence[Sequence[Facts]]) -> str | None:
    """The best contrast to a death of memory: the runs of another scenario, of one's own, train as
    many parameters, need more memory than was had, and complete."""
    if not base.wanted & {Kind.NO_MEMORY, Kind.KILLED, Kind.STARVED}:
        return None
    sizes = {run.result.metrics.memory.parameter_bytes for run in base.affected} - {None}
    had = max(run.result.metrics.memory.peak_over_p or 0.0 for run in base.affected)
    for runs in others:
        memory = [run.result.metrics.memory for run in runs]
        if all(
            run.completed and m.parameter_bytes in sizes and (m.peak_over_p or 0.0) > had
            for run, m in zip(runs, memory, strict=True)
        ):
            return f"with as many parameters, {describe(runs)}"
    return None


def absence(id: str, runs: Sequence[Facts]) -> str:
    """Explain why the absence of a symptom in these runs refutes a hypothesis."""
    names = list(dict.fromkeys(run.name for run in runs))
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    text = f"not seen in {plural(len(runs), 'completed run')} ({some})"
    first = runs[0].result.metrics
    if id == "leak" and first.memory.p_per_step is not None:
        margin = first.memory.p_per_step_margin or 0.0
        text += f": {number(first.memory.p_per_step, 3)} ± {number(margin, 2)} P per step"
    if id == "deferred" and first.step_s is not None and first.step_s.second is not None:
        times = (
            f"step 0 takes {duration(first.step_s.first)}, step 1 {duration(first.step_s.second)}"
        )
        text += f": deferred work costs no extra time, {times}"
    if id == "deadlock":
        text += f"; a deadlock in fewer than {percent(may_hide(runs))} of runs could be missed"
    if id == "memory" and first.memory.peak_over_p is not None:
        text += f": peak {number(first.memory.peak_over_p, 3)} P"
    return text
