"""What the parameters' digests, before the first step and after the last, show."""

from __future__ import annotations

from harness.model import Finding, Settings, Severity
from harness.record import Record

CODES = {
    "parameters_unchanged": "no trainable parameter changed: nothing was learned",
    "parameters_partly_unchanged": "some trainable parameters never changed",
    "frozen_parameters_changed": "a parameter changed that is not trained",
    "parameters_not_finite": "a parameter or optimizer state is NaN or infinite",
}


def unchanged(record: Record, settings: Settings) -> Finding | None:
    tensors = record.end.trainable if record.end else None
    if tensors is None or tensors.changed:
        return None
    told = (
        "there is nothing to train: every parameter is frozen"
        if tensors.total == 0
        else f"none of the {tensors.total} trainable tensors changed: nothing was learned"
    )
    return Finding(
        code="parameters_unchanged",
        severity=Severity.ERROR,
        summary=told,
        evidence={"trainable": tensors.total, "changed": 0},
    )


def partly_unchanged(record: Record, settings: Settings) -> Finding | None:
    tensors = record.end.trainable if record.end else None
    if tensors is None or not 0 < tensors.changed < tensors.total:
        return None
    return Finding(
        code="parameters_partly_unchanged",
        severity=Severity.INFO,
        summary=f"{tensors.total - tensors.changed} of {tensors.total} trainable tensors never "
        f"changed, such as {', '.join(tensors.examples[:3])}",
        evidence={
            "trainable": tensors.total,
            "changed": tensors.changed,
            "unchanged": list(tensors.examples),
        },
    )


def frozen_changed(record: Record, settings: Settings) -> Finding | None:
    tensors = record.end.frozen if record.end else None
    if tensors is None or not tensors.changed:
        return None
    return Finding(
        code="frozen_parameters_changed",
        severity=Severity.ERROR,
        summary=f"{tensors.changed} of {tensors.total} frozen tensors changed, such as "
        f"{', '.join(tensors.examples[:3])}",
        evidence={"changed": tensors.changed, "names": list(tensors.examples)},
    )


def not_finite(record: Record, settings: Settings) -> Finding | None:
    names = record.end.not_finite if record.end else ()
    if not names:
        return None
    return Finding(
        code="parameters_not_finite",
        severity=Severity.ERROR,
        summary=f"NaN or infinity in {', '.join(names[:3])} after the last step",
        evidence={"names": list(names)},
    )


DETECTORS = (unchanged, partly_unchanged, frozen_changed, not_finite)
