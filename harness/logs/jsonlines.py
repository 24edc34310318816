"""JSON, an object a line: `{"step": 10, "loss": 2.31, "lr": 1e-05}`, by its keys' common names.

A prefix (time, level) may stand before the object; one level of nesting is looked into. NaN and
Infinity, as Python writes them, are read though JSON has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from harness.logs.blocks import Blocks
from harness.logs.reading import Read, Reading, field, from_pairs
from harness.text import late

_NOT_JSON = late.compile(r"(?<=[:,\[\s])(-?)(?:(NaN)|Infinity)(?=[,}\]\s])")
_STEP = late.compile(r"\b(?:step|iter|iteration)[ :=#]{1,3}(\d{1,15})(?![\d.])", re.IGNORECASE)
"""`INFO metrics at step 10: {"loss": 2.3}`."""
_CLOCKS = ("elapsed_secs", "elapsed_s", "elapsed_seconds", "wall_time", "timestamp", "time", "ts")
_decoder = msgspec.json.Decoder()


def read(line: str) -> Reading | None:
    start = line.find("{")
    if start < 0 or '"' not in line:
        return None
    document = decode(line[start:])
    given = from_pairs(_pairs(document)) if document else {}
    if (
        start
        and "loss" in given
        and "step" not in given
        and (named := _STEP.search(line, 0, start))
    ):
        given["step"] = int(named[1])
    if document and "step" in given:
        given["clock"] = clock(document)
    return Reading(**given) if "step" in given or "loss" in given else None


def begin() -> Read:
    """Make the `read` of one stream, in which an object may have several lines."""
    return Blocks(read).read


def clock(document: dict[str, Any]) -> float | None:
    """The time of a line by its own clock, in seconds; None where it gives none.

    What has elapsed is rather believed than a date, which may be the same for several lines.
    """
    for name in _CLOCKS:
        value = document.get(name)
        if isinstance(value, str) and len(value) > 15:
            try:
                return _moment(value).timestamp()
            except (ValueError, OverflowError, msgspec.ValidationError):
                continue
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            # Beyond the year 5000 in seconds these are milliseconds.
            return value / 1000 if value > 1e11 else float(value)
    return None


def _moment(text: str) -> datetime:
    """A date with a time. Raises ValueError or msgspec.ValidationError."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # That of Python 3.10 reads no Z, and no fraction but of three or six digits.
        return msgspec.convert(text, datetime)


def decode(text: str) -> dict[str, Any] | None:
    """The object with which `text` begins; None when there is none."""
    end = text.find("}{")
    if end >= 0:  # two writers' lines, run together
        text = text[: end + 1]
    try:
        document = _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        if "NaN" not in text and "Infinity" not in text:
            return None
        cleaned = _NOT_JSON.sub(lambda m: '"nan"' if m[2] else f'"{m[1]}inf"', text)
        return decode(cleaned) if cleaned != text else None
    return document if isinstance(document, dict) else None


def _pairs(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            for inner, figure in value.items():
                both = f"{name}_{inner}"
                yield both if field(both)[0] else inner, figure
        else:
            yield name, value
