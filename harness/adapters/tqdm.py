"""tqdm's bars: `Epoch 2:  12%|█▏  | 12/100 [00:03<00:22,  3.9it/s, loss=1.23, lr=1e-4]`.

Also those without a total, `12it [00:03,  3.9it/s, loss=1.23]`. Bars of anything but steps
(downloads, tokenising, loading) are no readings.
"""

from __future__ import annotations

import re

from harness.adapters.reading import PAIR, Reading, count, from_pairs

_COUNTS = re.compile(r"\s{0,20}(\d{1,15})/(\d{1,15}) ?\[", re.ASCII)
_OPEN = re.compile(r"(?<!\d)(\d{1,15})(?:it|batch|batches|step|steps) \[\d\d:", re.ASCII)
_UNIT = re.compile(
    r"[\d?](?:s/|)(?:[kMGT]?i?B|ex|examples?|files?|shards?|rows?|tables?)(?:/s)?[,\]]"
)
_OTHER = re.compile(
    r"\s*(?:map|filter|download|fetch|load|tokeni[sz]|generat|sav|writ|cast|sort|prepar|upload|"
    r"convert|pack|resolv|extract|creat|pre-?process|comput|group|quanti|merg|flatten|import)",
    re.IGNORECASE,
)
_VALIDATION = re.compile(
    r"(?<![a-z])(?:val|valid|validation|validating|validate|eval|evaluating|evaluation|evaluate|"
    r"test|testing|predicting|calculating loss|sanity)(?![a-z])",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"epochs?\W{0,3}(?:(\d{1,9})(?:\s?/\s?\d{1,9})?)?", re.IGNORECASE)
_PER_EPOCH = re.compile(r"(?:epochs?/s|s/epochs?)[,\]]", re.IGNORECASE)


def read(line: str) -> Reading | None:
    bar = line.find("%|")
    if bar < 0:
        return _without_total(line) if "it [" in line or "/s" in line else None
    found = _COUNTS.match(line, line.find("|", bar + 2) + 1)
    if found is None:
        return None
    description, figures = line[:bar].rstrip("0123456789"), line[found.end() :]
    return _reading(description, figures, found[1], found[2])


def _without_total(line: str) -> Reading | None:
    found = _OPEN.search(line)
    return found and _reading(line[: found.start()], line[found.end() :], found[1], None)


def _reading(description: str, figures: str, done: str, total: str | None) -> Reading | None:
    """`description` is what stands before the bar, `figures` what stands in its brackets."""
    epoch = None
    if not description.isspace():
        if _OTHER.match(description):
            return None
        if _VALIDATION.search(description):
            return Reading(batch=count(done), total=count(total), phase="validate", validation=True)
        epoch = _EPOCH.search(description)
    if _UNIT.search(figures):
        return None
    if (epoch and not epoch[1]) or _PER_EPOCH.search(figures):
        return Reading(epoch=count(done), total=count(total))
    # The rate is the last thing before the figures of the user, and never a pair.
    pairs = PAIR.findall(figures)
    if ":" in description:
        pairs += PAIR.findall(description)
    given = from_pairs((name, value) for name, value, *_ in pairs)
    given.update(step=count(done), total=count(total))
    if epoch:
        given["epoch"] = float(epoch[1])
    return Reading(**given)
