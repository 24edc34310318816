"""Keras' `fit`, versions 2 and 3, verbose 1 and 2.

Epoch 1/5
 5/10 ━━━━━━━━━━━━━━━━━━━━ 0s 12ms/step - accuracy: 0.5000 - loss: 2.3026
 5/10 [=============>................] - ETA: 0s - loss: 2.3026
10/10 - 1s - 98ms/step - accuracy: 0.5 - loss: 2.3 - val_loss: 2.2
"""

from __future__ import annotations

import re

from harness.logs.numbers import count
from harness.logs.reading import PAIR, Reading, from_pairs
from harness.text import late

_COUNTS = late.compile(
    r"\s{0,20}(\d{1,15})/(?:(\d{1,15})\s{1,20}(?:[━\[=>.\]]{1,200}\s|- )|Unknown\s{1,20})", re.ASCII
)
_EPOCH = late.compile(r"Epoch (\d{1,9})/(\d{1,9})\s{0,9}", re.ASCII)
_SAVED = late.compile(
    r"Epoch (\d{1,9}): \w{1,40} (?:improved|did not).{0,200}?saving model", re.ASCII
)


def read(line: str) -> Reading | None:
    if line.startswith("Epoch "):
        return _epoch(line)
    if "/step" not in line and " - " not in line:
        return None
    match = _COUNTS.match(line)
    if match is None:
        return None
    given = from_pairs((name, value) for name, value, *_ in PAIR.findall(line, match.end()))
    given.update(step=count(match[1]), total=count(match[2]))
    return Reading(**given)


def _epoch(line: str) -> Reading | None:
    match = _EPOCH.fullmatch(line)
    if match:
        return Reading(epoch=float(match[1]), total=count(match[2]))
    saved = _SAVED.match(line)
    return saved and Reading(epoch=float(saved[1]), phase="checkpoint")
