"""Results and folders of runs that never took place, as real ones look; and random ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from harness.beats.file import BEATS, number
from harness.beats.record import Record, gather
from harness.model import (
    Cause,
    Diagnosis,
    Environment,
    Finding,
    Hypothesis,
    LossSummary,
    MemorySummary,
    Metrics,
    Outcome,
    RunResult,
    ScenarioInfo,
    ScenarioResult,
    Settings,
    Severity,
    StartBeat,
    StepBeat,
    StepTimes,
    Support,
)
from harness.report import runjson

P = 8 << 20
ENVIRONMENT = Environment(
    platform="Linux 6.1.0",
    machine="x86_64",
    python="3.11.7",
    cpu_count=2,
    memory=25 << 30,
    swap=0,
    versions={"mlx": "0.32.4", "mlx-lm": None},
    device="cpu (AMD EPYC)",
    compiler="g++ (Debian 12.2.0-14) 12.2.0",
    variables={"MLX_DISABLE_COMPILE": "1"},
)
SOURCE = '''"""Vary one thing.

The rest of the docstring.
"""


def make_step(training):
    return training.step
'''


def info(name="baseline_update", **fields) -> ScenarioInfo:
    usual = {"summary": "Vary one thing.", "doc": "Vary one thing.", "source": SOURCE}
    return ScenarioInfo(name=name, **({"path": f"ladder/{name}.py"} | usual | fields))


def metrics(step_s=0.02, peak_over_p=5.5, last=3.2, p=P, first=5.5, **fields) -> Metrics:
    return Metrics(
        step_s=StepTimes(first=2 * step_s, median=step_s, p99=1.5 * step_s, max=2 * step_s),
        phase_s={"forward": step_s / 10, "graph": 1.0, "eval": step_s * 0.9},
        loss=LossSummary(first=first, last=last, min=None, max=None, finite=math.isfinite(last)),
        memory=MemorySummary(
            active_peak=3 * p,
            cache_peak=p,
            rss_peak=900 << 20,
            parameter_bytes=p,
            active_over_p=3.0,
            peak_over_p=peak_over_p,
        ),
        graph_nodes_last=1953,
        parameters_changed=True,
        drain_s=0.01,
        **fields,
    )


def result(name="baseline_update", outcome=Outcome.COMPLETED, **fields) -> ScenarioResult:
    usual = {
        "steps_requested": 10,
        "steps_completed": 10,
        "wall_s": 1.2,
        "last_step": 9,
        "last_phase": "exit",
        "exit_code": 0,
        "metrics": metrics(),
    }
    return ScenarioResult(scenario=name, outcome=outcome, **(usual | fields))


def hung(name="compiled_step", repeat=0, message="every thread waits for another", **evidence):
    thread = {"pid": 4242, "tid": 4243, "name": "python", "state": "S"}
    return result(
        name,
        Outcome.HUNG,
        repeat=repeat,
        steps_completed=1,
        last_step=1,
        last_phase="eval",
        reason=message,
        cause=Cause(
            code="deadlock",
            summary=message,
            proven=True,
            evidence={
                "wait_site": "mlx::core::Event::wait",
                "still_s": 4.0001,
                "threads": [thread, thread | {"tid": 4244}],
            }
            | evidence,
        ),
        stalled_at_s=1.5,
        detected_at_s=2.75,
        exit_code=None,
        signal="SIGTERM",
    )


def finding(code="parameters_unchanged", severity=Severity.ERROR, summary="why", **fields):
    return Finding(code=code, severity=severity, summary=summary, **fields)


def run(*results, **fields) -> RunResult:
    names = dict.fromkeys(result.scenario for result in results)
    usual = {
        "harness_version": "0.1.0",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "command": ("harness", "run-all"),
        "environment": ENVIRONMENT,
        "settings": Settings(),
        "scenarios": tuple(info(name) for name in names),
        "results": results,
    }
    return RunResult(**(usual | fields))


def mixed() -> RunResult:
    """One of everything: what a run on a troubled machine would leave."""
    jump = finding(
        "step_time_jump",
        Severity.WARNING,
        "step 1 takes 2.00 s, step 0 took 100 ms",
        evidence={"step": 1, "ratio": 20.0},
    )
    nothing = finding(expected=True, summary="none of the 24 trainable tensors changed")
    bad_loss = finding("loss_not_finite", summary="the loss is nan from step 4 on")
    hypothesis = Hypothesis(
        id="memory",
        title="memory oversubscription",
        verdict=Support.SUPPORTED,
        because=("sgd_step clears it", "peak 5.5 P | 8 GB"),
    )
    return run(
        result(findings=(jump,)),
        result("grad_without_update", findings=(nothing,), metrics=metrics(0.005, 1.0, 5.6)),
        hung(),
        result(
            "half_precision",
            Outcome.DIVERGED,
            reason=bad_loss.summary,
            findings=(bad_loss,),
            metrics=metrics(last=math.nan),
        ),
        result(
            "sgd_step",
            Outcome.CRASHED,
            steps_completed=3,
            last_step=3,
            last_phase="update",
            reason="ValueError: shapes (2, 32) and <3> | do not match, ask @someone (in step 3)",
            exit_code=1,
        ),
        result(
            "gpu_step",
            Outcome.SKIPPED,
            steps_completed=0,
            metrics=Metrics(),
            reason="MLX has no gpu here",
        ),
        result("slow_step", Outcome.UNFINISHED, steps_completed=4, reason="stopped by --budget"),
        diagnosis=Diagnosis(
            hypotheses=(
                Hypothesis(id="data", title="data or host", verdict=Support.UNTESTED),
                hypothesis,
            ),
            next_experiment="harness run tiny_model --steps 10",
        ),
    )


def steps(count=10, seconds=0.02, loss=lambda step: 5.5 - 0.1 * step, active=3 * P) -> list:
    """The beats of `count` steps."""
    return [
        StepBeat(
            t=float(step),
            step=step,
            phases={"eval": seconds(step) if callable(seconds) else seconds, "graph": 1.0},
            loss=number(loss(step)),
            active=active(step) if callable(active) else active,
        )
        for step in range(count)
    ]


def record(*args, **fields) -> Record:
    return gather(steps(*args, **fields))


def write(made: RunResult, folder: Path) -> Path:
    """The folder of `made`, with streams, logs and stacks."""
    runjson.write(made, folder)
    for one in made.results:
        home = folder / one.scenario / str(one.repeat)
        (home / "stacks").mkdir(parents=True)
        start = StartBeat(t=0.0, schema=1, pid=1, wall=0.0, scenario=one.scenario)
        lines = [msgspec.json.encode(beat) for beat in (start, *steps(one.steps_completed))]
        (home / BEATS).write_bytes(b"\n".join(lines) + b"\n")
        (home / "stdout.log").write_text("step 0\rstep 1\n\x1b[31mred\x1b[0m text\n")
        (home / "stderr.log").write_text("Traceback\n```\n</details>\n# no title\n")
        if one.cause:
            (home / "stacks" / "first-pystack.txt").write_text("Event::wait\n")
    return folder


def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the model, NaN and odd text included; of fields added later too."""
    return _drawn(msgspec.inspect.type_info(kind))


ODD = st.text(st.sampled_from("ab1|`\\*_[]<>@#&$~-\n\r\t\x00\x1b \u202e\u2028é\ud800"))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=5,
)
_LEAVES: dict[type, st.SearchStrategy[Any]] = {
    msgspec.inspect.NoneType: st.none(),
    msgspec.inspect.BoolType: st.booleans(),
    msgspec.inspect.IntType: st.integers(-(2**63), 2**63 - 1),
    msgspec.inspect.FloatType: st.floats(),
    msgspec.inspect.StrType: st.text(max_size=60) | ODD,
    msgspec.inspect.AnyType: ANYTHING,
}


def _drawn(kind: Any) -> st.SearchStrategy[Any]:
    if type(kind) in _LEAVES:
        return _LEAVES[type(kind)]
    if isinstance(kind, msgspec.inspect.UnionType):
        return st.one_of([_drawn(part) for part in kind.types])
    if isinstance(kind, msgspec.inspect.EnumType):
        return st.sampled_from(kind.cls)
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return st.lists(_drawn(kind.item_type), max_size=3).map(tuple)
    if isinstance(kind, msgspec.inspect.DictType):
        return st.dictionaries(_drawn(kind.key_type), _drawn(kind.value_type), max_size=3)
    assert isinstance(kind, msgspec.inspect.StructType), kind
    fields = {field.name: _drawn(field.type) for field in kind.fields}
    if kind.cls is RunResult:
        fields["schema"] = st.just(1)
    return st.builds(kind.cls, **fields)


RUNS = st.deferred(lambda: drawn(RunResult))
