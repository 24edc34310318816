"""The number of trained parameters, which trainers print once, before the first step.

Trainable parameters: 8,030,261,248
Trainable parameters: 0.509% (0.016M/3.220M)
trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622
Trainable params: 1.2 M
Trainable parameters 0.852M
"""

from __future__ import annotations

import re

from harness.logs.numbers import number
from harness.model import ModelBeat
from harness.text import late

_FLOAT32 = 4
"""Bytes of a parameter, where nobody says of what type it is."""
_TRAINABLE = late.compile(
    r"(?<![-\w])trainable[ _]param(?:eter)?s?\b"
    r"(?:[ \t]{0,4}[:=]\s{0,40}| (?=\d[\d,.]{0,30} ?[KMB](?![A-Za-z])))"
    r"(?:[\d.]{1,10} ?%\s{0,4}\(\s{0,4})?"
    r"(\d[\d,.]{0,30}(?<=\d))(?! ?%)(?: ?([KMB])(?![A-Za-z]))?",
    re.IGNORECASE | re.ASCII,
)
_SCALES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_MOST = 10**13
_LONGEST = 400


def trainable(line: str) -> int | None:
    """The number that `line` gives; None where it gives none, or none that can be."""
    match = _TRAINABLE.search(line[:_LONGEST])
    if match is None:
        return None
    unit = (match[2] or "").upper()
    value = number(match[1], comma_is_decimal=False)
    if value is None or (not unit and value != int(value)):
        return None
    count = round(value * _SCALES[unit])
    return count if 0 < count < _MOST else None


def beat(count: int, t: float) -> ModelBeat:
    """The facts that a log gives of the model, at the time `t`."""
    return ModelBeat(
        t=t,
        parameters=count,
        parameter_bytes=_FLOAT32 * count,
        trainable=count,
        trainable_bytes=_FLOAT32 * count,
        dtype="float32",
        printed=True,
    )
