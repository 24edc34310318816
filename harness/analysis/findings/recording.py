"""Findings about the scenario's own checks, and about gaps in the record."""

from __future__ import annotations

from collections.abc import Iterator

from harness.beats.record import Record
from harness.model import Finding
from harness.model.finding import error, info, warning
from harness.text.units import plural


def check_failed(record: Record) -> Iterator[Finding]:
    for name in dict.fromkeys(check.name for check in record.checks):
        checks = [check for check in record.checks if check.name == name]
        failed = [check for check in checks if not check.ok]
        if not failed:
            continue
        first = failed[0]
        yield error(
            "check_failed",
            f"the check {name} failed {len(failed)} of {plural(len(checks), 'time')}, first at "
            f"step {first.step}: {first.value}, where {first.expected} was expected",
            name=name,
            failed=len(failed),
            checks=len(checks),
            step=first.step,
            value=first.value,
            expected=first.expected,
        )


def not_followed(record: Record) -> Iterator[Finding]:
    """Say that a scenario's own model was not looked at: nothing found is then no good news."""
    if record.end is not None and record.model is None and record.step:
        yield info(
            "not_followed",
            "parameters and memory were not checked: call training.watch(model, optimizer)",
            steps=len(record.step),
        )


def beats_lost(record: Record) -> Iterator[Finding]:
    lost = record.end.lost if record.end else 0
    fault = record.end.fault if record.end else None
    if not lost and not record.torn:
        return
    yield warning(
        "beats_lost",
        f"{plural(lost, 'beat')} could not be written and {plural(record.torn, 'line')} could not "
        "be read" + (f": {fault}" if fault else ""),
        lost=lost,
        torn=record.torn,
        fault=fault,
    )
