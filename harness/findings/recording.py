"""Whether the records themselves are whole: a blind watcher must not look healthy."""

from __future__ import annotations

from harness.model import Finding, Settings, Severity
from harness.record import Record

CODES = {
    "beats_lost": "some of what the worker recorded did not reach the disk whole",
}


def beats_lost(record: Record, settings: Settings) -> Finding | None:
    lost = record.end.lost if record.end else 0
    if not lost and not record.torn:
        return None
    fault = record.end.fault if record.end else None
    parts = [f"{lost} not written" * bool(lost), f"{record.torn} unreadable" * bool(record.torn)]
    return Finding(
        code="beats_lost",
        severity=Severity.WARNING,
        summary="beats: " + ", ".join(filter(None, parts)) + (f" ({fault})" if fault else ""),
        evidence={"lost": lost, "torn": record.torn},
    )


DETECTORS = (beats_lost,)
