"""The place where a run's numbers stopped being finite, as a replay has shown it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.model import Located, Origin
from harness.report.input import Group, ReportInput
from harness.report.text import cell, table
from harness.text.units import count, duration, number, plural

TITLES = {
    Located.LOCATED: "Where the numbers stop being finite",
    Located.NOT_AGAIN: "The numbers stay finite in a replay",
    Located.UNSEEN: "The numbers stop being finite in an operation that is not seen",
    Located.FAILED: "Where the numbers stop being finite is not known",
}
FRAMES = 6


def origin(group: Group, data: ReportInput) -> str:
    """The origin of the first run of the group that has one."""
    found = next((result.origin for result in group.results if result.origin is not None), None)
    if found is None:
        return ""
    listed = [(title, cell(text, 400)) for title, text in rows(found)]
    text = f"**{TITLES[found.status]}:** {cell(found.summary, 600)}"
    return f"{text}\n\n{table(('replay', 'value'), listed, limit=4_000)}" if listed else text


def rows(found: Origin) -> list[tuple[str, str]]:
    """The facts of an origin, as pairs of title and text."""
    pairs = [
        ("step", "" if found.step is None else str(found.step)),
        ("operation", found.operation or ""),
        ("part of the step", found.place or ""),
        ("line", found.site or ""),
        ("called from", "; ".join(f for f in found.frames[:FRAMES] if f != found.site)),
        ("module", found.module or ""),
        ("nearest named array", found.about or ""),
        *_arrays("input", found.inputs),
        *_arrays("cotangent", found.cotangents),
        ("result", _result(found.output)),
        ("rows of the batch", _numbers(found.rows)),
        ("places in the first of these rows", _numbers(found.columns)),
        ("tokens there", _numbers(found.tokens)),
        *_arrays("batch, array", found.batch),
        ("begun from the checkpoint of step", _number(found.checkpoint)),
        ("time of the replay", _cost(found)),
    ]
    return [(title, text) for title, text in pairs if text]


def _arrays(title: str, arrays: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for index, array in enumerate(arrays):
        yield f"{title} {index}", _array(array)


def _array(array: Mapping[str, Any]) -> str:
    if "number" in array:
        return f"the number {_value(array['number'])}"
    text = _shaped(array)
    if "low" in array:
        text += f", {_value(array['low'])} to {_value(array['high'])}"
    if bad := array.get("not_finite"):
        text += f", {count(bad)} not finite"
    if "at" in array:
        low, high = array["at"]
        span = _value(low) if low == high else f"{_value(low)} to {_value(high)}"
        text += f"; {span} where the result is not finite"
    return text


def _shaped(array: Mapping[str, Any]) -> str:
    shape = " x ".join(map(str, array.get("shape", ()))) or "a scalar"
    return f"{array.get('dtype')} {shape}"


def _value(value: object) -> str:
    return number(float(value)) if isinstance(value, int | float | str) else str(value)


def _result(output: Mapping[str, Any]) -> str:
    if not output:
        return ""
    bad = [f"{count(output[kind])} {name}" for kind, name in (("nan", "NaN"), ("inf", "infinite"))
           if output.get(kind)]  # fmt: skip
    of = f" of {plural(output.get('size', 0), 'element')}"
    return f"{_shaped(output)}: {' and '.join(bad)}{of}"


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _cost(found: Origin) -> str:
    if found.replay_s is None:
        return ""
    text = duration(found.replay_s)
    if found.probed_step_s is not None:
        text += f"; the probed step {duration(found.probed_step_s)}"
    if found.usual_step_s is not None:
        text += f", another one {duration(found.usual_step_s)}"
    return text
