"""The results of the controls against the expected ones, with a confusion matrix. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from harness import syscalls
from harness.detect.ranks.phrases import named
from harness.model import Environment, Expected, Outcome, RunResult, ScenarioResult, Severity

_UNPROVEN = ("stalled", "waiting")


class ControlResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one control."""

    control: str
    repeat: int
    expected: str
    """Its class: the outcome, and of a hang the cause: `hung/deadlock`."""
    got: str
    ok: bool | None
    """None when it was skipped: it cannot run here."""
    wrong: tuple[str, ...] = ()
    """The unexpected facts as sentences; of a skipped run, the reason for skipping."""


Matrix = dict[str, dict[str, int]]
"""Expected class to the class that it got to how often."""


def rows(run: RunResult) -> tuple[ControlResult, ...]:
    """A row for each result of a control.

    Where a deadlock cannot be proven, one that is found to be stalled or waiting is all that can be
    had.
    """
    verdicts = {info.name: info.verdict for info in run.scenarios}
    return tuple(
        row(result, expected, run.environment)
        for result in run.results
        if (expected := verdicts.get(result.scenario)) is not None
    )


def matrix(rows: Sequence[ControlResult]) -> Matrix:
    """Skipped runs are left out."""
    counted: Matrix = {}
    for row in rows:
        if row.ok is not None:
            line = counted.setdefault(row.expected, {})
            line[row.got] = line.get(row.got, 0) + 1
    return counted


def passed(rows: Sequence[ControlResult]) -> bool:
    """Return True if every run got its verdict, and at least one was not skipped."""
    answers = [row.ok for row in rows if row.ok is not None]
    return bool(answers) and all(answers)


def _provable(here: Environment) -> bool:
    """MLX for NVIDIA GPUs opens the GPU in any case, whose work goes on outside the process."""
    gpu = any(version for name, version in here.versions.items() if name.startswith("mlx-cuda"))
    return here.platform.startswith("Linux") and here.machine in syscalls.TABLES and not gpu


def _here(expected: Expected, provable: bool) -> Expected:
    if provable or "deadlock" not in expected.cause:
        return expected
    return msgspec.structs.replace(expected, cause=expected.cause + _UNPROVEN)


def row(result: ScenarioResult, expected: Expected, here: Environment) -> ControlResult:
    """Compare one run of a control with the expected result."""
    expected = _here(expected, _provable(here))
    skipped = result.outcome is Outcome.SKIPPED and Outcome.SKIPPED not in expected.outcome
    wrong = (result.reason or "",) if skipped else tuple(_wrong(result, expected))
    return ControlResult(
        control=result.scenario,
        repeat=result.repeat,
        expected=_expected_class(result, expected),
        got=_class(result.outcome, result.cause.code if result.cause else None),
        ok=None if skipped else not wrong,
        wrong=wrong,
    )


def _class(outcome: Outcome, cause: str | None) -> str:
    return f"{outcome.value}/{cause}" if outcome is Outcome.HUNG and cause else outcome.value


def _expected_class(result: ScenarioResult, expected: Expected) -> str:
    """The class of the result if it is acceptable, else the first acceptable one."""
    outcome = result.outcome if result.outcome in expected.outcome else expected.outcome[0]
    got = result.cause.code if result.cause else None
    return _class(outcome, got if got in expected.cause else next(iter(expected.cause), None))


def _wrong(result: ScenarioResult, expected: Expected) -> Iterator[str]:
    if result.outcome not in expected.outcome:
        yield f"{result.outcome.value}, not {_either(o.value for o in expected.outcome)}"
        return
    if expected.cause and not _cause_fits(result, expected.cause):
        got = result.cause.code if result.cause else result.reason
        yield f"cause {got}, not {_either(expected.cause)}"
    if expected.step is not None and (step := _step(result)) != expected.step:
        yield f"step {step}, not {expected.step}"
    codes = {finding.code for finding in result.findings}
    for code in expected.findings:
        if code not in codes:
            yield f"no {code}"
    reason = result.reason or ""
    for text in expected.says:
        if text not in reason:
            yield f"the reason does not contain {text!r}: {reason}"
    yield from _misnamed(result, expected)
    if result.outcome is Outcome.COMPLETED:
        for finding in result.findings:
            if finding.severity is Severity.ERROR and finding.code not in expected.findings:
                yield f"{finding.code}: {finding.summary}"


def _step(result: ScenarioResult) -> int | None:
    """The last step; of one that diverged, the first in which its numbers were wrong."""
    if result.outcome is not Outcome.DIVERGED:
        return result.last_step
    errors = [error for error in result.findings if error.severity is Severity.ERROR]
    return min(
        (error.evidence["step"] for error in errors if "step" in error.evidence), default=None
    )


def _misnamed(result: ScenarioResult, expected: Expected) -> Iterator[str]:
    wanted = expected.culprits or (() if expected.culprit is None else (expected.culprit,))
    got = _named(result)
    if wanted and got != sorted(wanted):
        yield f"names {named(got) if got else 'no rank'}, not {named(wanted)}"


def _named(result: ScenarioResult) -> list[int]:
    """The ranks that the first finding about ranks is about."""
    for finding in result.findings:
        if "ranks" in finding.evidence:
            return list(finding.evidence["ranks"])
        if "rank" in finding.evidence:
            return [finding.evidence["rank"]]
    return []


def _cause_fits(result: ScenarioResult, causes: Sequence[str]) -> bool:
    if result.outcome is not Outcome.HUNG:
        return any(text in (result.reason or "") for text in causes)
    cause = result.cause
    # A deadlock is nothing but a proven one.
    return cause is not None and cause.code in causes and cause.proven == (cause.code == "deadlock")


def _either(options: Iterator[str] | Sequence[str]) -> str:
    return " or ".join(options)
