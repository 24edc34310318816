"""tqdm's bars: `Epoch 2:  12%|█▏  | 12/100 [00:03<00:22,  3.9it/s, loss=1.23, lr=1e-4]`.

Also scaled, `1.20k/10.0k`, and those without a total, `12it [00:03,  3.9it/s, loss=1.23]`. Bars of
anything but steps (downloads, tokenising, loading) are no readings.
"""

from __future__ import annotations

import re
from functools import lru_cache

from harness.logs.numbers import plainly
from harness.logs.reading import PAIR, Reading, field, from_pairs
from harness.text import late

_COUNT = r"\d{1,15}(?:\.\d{1,2})?[kMGT]?"  # by `unit_scale`: 1.00, 12.0, 1.20k
_COUNTS = late.compile(rf"\s{{0,20}}({_COUNT})/({_COUNT}) ?\[", re.ASCII)
_OPEN = late.compile(rf"(?<![\d.])({_COUNT})(?:it|batch|batches|step|steps) \[\d\d:", re.ASCII)
_SCALES = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_NO_STEPS = late.compile(r"[kMGT]?(?:i?B|ex|examples?|files?|shards?|rows?|tables?|tokens?)")
_OTHER = late.compile(
    r"\s*(?:map|filter|download|fetch|load|tokeni[sz]|generat|sav|writ|cast|sort|prepar|upload|"
    r"convert|pack|resolv|extract|creat|pre-?process|comput|group|quanti|merg|flatten|import)",
    re.IGNORECASE,
)
_VALIDATION = late.compile(
    r"(?<![a-z])(?:val|valid|validation|validating|validate|eval|evaluating|evaluation|evaluate|"
    r"test|testing|predicting|calculating loss|sanity)(?![a-z])",
    re.IGNORECASE,
)
_EPOCH = late.compile(r"epochs?\W{0,3}(?:(\d{1,9})(?:\s?/\s?\d{1,9})?)?", re.IGNORECASE)


def read(line: str) -> Reading | None:
    return None if "v_num=" in line or "DataLoader " in line else read_bar(line)  # Lightning's


@lru_cache(1)  # while it is open whose bar it is, several formats ask
def read_bar(line: str) -> Reading | None:
    """Any bar."""
    bar = line.find("%|")
    if bar < 0:
        return _without_total(line) if "it [" in line or "/s" in line else None
    match = _COUNTS.match(line, line.find("|", bar + 2) + 1)
    if match is None:
        return None
    description, figures = line[:bar].rstrip("0123456789"), line[match.end() :]
    return _reading(description, figures, match[1], match[2])


def _without_total(line: str) -> Reading | None:
    match = _OPEN.search(line)
    return match and _reading(line[: match.start()], line[match.end() :], match[1], None)


def _reading(description: str, figures: str, done: str, total: str | None) -> Reading | None:
    """`description` is what stands before the bar, `figures` what stands in its brackets."""
    what, epoch = _meaning(description)
    if what == "validation" and ":" in description and _has_training_loss(description):
        what, epoch = _meaning(PAIR.sub(" ", description))  # `loss: 2.3 test_accuracy: 0.4:  10%|`
    if what == "other":
        return None
    if what == "validation":
        return Reading(batch=_count(done), total=_count(total), phase="validate", validation=True)
    # "00:03<00:22,  3.9it/s, loss=1.23, lr=1e-4]": the clock, the rate, the user's figures.
    _, rate, own = (*figures.split(", ", 2), "", "")[:3]
    unit = _unit(rate)
    if unit and _NO_STEPS.fullmatch(unit):
        return None
    if what == "epochs" or unit in ("epoch", "epochs"):
        return Reading(epoch=_count(done), total=_count(total))
    pairs = PAIR.findall(plainly(own)) if own else []
    if what and ":" in description:
        pairs += PAIR.findall(plainly(description))
    given = from_pairs([(_with_unit(pair[0], pair[3]), pair[1]) for pair in pairs]) if pairs else {}
    given["step"], given["total"], given["drawn"] = _count(done), _count(total), True
    if epoch is not None:
        given["epoch"] = epoch
    return Reading(**given)


def _has_training_loss(description: str) -> bool:
    return any(field(name)[0] == "loss" for name, *_ in PAIR.findall(plainly(description)))


def _with_unit(name: str, unit: str) -> str:
    """`mem=12.3GB`: the name `mem_GB`. A letter alone is of a binary unit."""
    if not unit or field(name)[0] not in ("memory", "peak"):
        return name
    return f"{name}_{unit if len(unit) > 1 else unit + 'iB'}"


def _count(text: str | None) -> int | None:
    if text is None or text.isdecimal():
        return text if text is None else int(text)
    scale = _SCALES.get(text[-1], 1)
    return round(float(text[:-1] if scale > 1 else text) * scale)


@lru_cache(1024)
def _meaning(description: str) -> tuple[str, float | None]:
    """The unit that a bar with this description counts, and of steps the epoch."""
    if not description or description.isspace():
        return "", None
    if _OTHER.match(description):
        return "other", None
    if _VALIDATION.search(description):
        return "validation", None
    epoch = _EPOCH.search(description)
    if epoch is None:
        return "steps", None
    return ("steps", float(epoch[1])) if epoch[1] else ("epochs", None)


def _unit(rate: str) -> str:
    """`kB` of `1.20kB/s`; empty for the usual `it`."""
    rate = rate.rstrip("]")
    if rate.endswith(("it/s", "s/it")):
        return ""
    return rate.lstrip(" ?0123456789.").removesuffix("/s").removeprefix("s/")
