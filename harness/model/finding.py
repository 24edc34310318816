"""Short forms that make a `Finding` of each severity (docs/reference/verdicts/index.md)."""

from __future__ import annotations

from typing import Any

from harness.model import Finding, Severity


def error(code: str, summary: str, /, **evidence: Any) -> Finding:
    """The training is wrong, or will come to grief if it goes on."""
    return Finding(code=code, severity=Severity.ERROR, summary=summary, evidence=evidence)


def warning(code: str, summary: str, /, **evidence: Any) -> Finding:
    """It costs time or memory, or hides something; the training itself may be right."""
    return Finding(code=code, severity=Severity.WARNING, summary=summary, evidence=evidence)


def info(code: str, summary: str, /, **evidence: Any) -> Finding:
    """Ordinary, but it explains something that would look odd without it."""
    return Finding(code=code, severity=Severity.INFO, summary=summary, evidence=evidence)
