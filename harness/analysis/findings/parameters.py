"""Findings about the parameters: trained ones must change, frozen ones must not."""

from __future__ import annotations

from collections.abc import Iterator

from harness.beats.record import Record
from harness.model import Finding, Tensors
from harness.model.finding import error, info, warning
from harness.text.units import plural


def parameters_unchanged(record: Record) -> Iterator[Finding]:
    tensors = record.trainable
    if tensors is None or tensors.changed or _only_evaluates(record):
        return
    yield error(
        "parameters_unchanged",
        f"none of the {plural(tensors.total, 'trainable tensor')} changed from the first step to "
        "the last: the run learned nothing"
        if tensors.total
        else "the model has no trainable parameter, so it cannot learn",
        total=tensors.total,
        changed=0,
    )


def _only_evaluates(record: Record) -> bool:
    """Return True if nothing of a training was seen: no step, gradient, update or optimizer."""
    seen = record.learning
    return seen is not None and not (seen.updates or seen.followed or seen.batches or record.step)


def parameters_partly_unchanged(record: Record) -> Iterator[Finding]:
    tensors = record.trainable
    if tensors is None or not 0 < tensors.changed < tensors.total:
        return
    still = tensors.total - tensors.changed
    yield info(
        "parameters_partly_unchanged",
        f"{still} of {tensors.total} trainable tensors never changed: {_names(tensors)}",
        total=tensors.total,
        changed=tensors.changed,
        examples=list(tensors.examples),
    )


def frozen_parameters_changed(record: Record) -> Iterator[Finding]:
    tensors = record.end.frozen if record.end else None
    if tensors is None or not tensors.changed:
        return
    yield error(
        "frozen_parameters_changed",
        f"{tensors.changed} of {plural(tensors.total, 'frozen tensor')} changed: {_names(tensors)}",
        total=tensors.total,
        changed=tensors.changed,
        examples=list(tensors.examples),
    )


def model_not_watched(record: Record) -> Iterator[Finding]:
    name = record.end.unwatched if record.end else None
    if name is None:
        return
    yield warning(
        "model_not_watched",
        f"a model ({name}) is there that the harness does not know: call training.watch(model, "
        "optimizer) in make_step, or nothing is said of its parameters and memory",
        model=name,
    )


def _names(tensors: Tensors) -> str:
    return ", ".join(tensors.examples[:3]) + (", ..." if len(tensors.examples) > 3 else "")
