"""Findings: what the records of one run show. One module a family, one function a fact.

A detector is a pure function of the record and the settings. A new one is written in the module of
its family, with its code in that module's CODES, and registered below.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.findings import compiling, loss, memory, parameters, recording, timing
from harness.model import Finding, Settings
from harness.record import Record

Detector = Callable[[Record, Settings], Finding | None]

FAMILIES = (loss, parameters, memory, compiling, timing, recording)

DETECTORS: tuple[Detector, ...] = tuple(
    detector for family in FAMILIES for detector in family.DETECTORS
)
CODES: dict[str, str] = {code: text for family in FAMILIES for code, text in family.CODES.items()}
"""Every code with what it means."""


def find(record: Record, settings: Settings) -> tuple[Finding, ...]:
    """All findings of one run."""
    found = (detector(record, settings) for detector in DETECTORS)
    return tuple(finding for finding in found if finding is not None)
