"""What people print themselves, and many trainers: names with figures.

step 12 loss=1.23                       epoch 1, iter 20: 0.123
Epoch [1/10], Step [100/600], Loss: 0.5        iter 100: loss 2.5, time 12.1ms, mfu 3.1%
step    1/74 | train loss 4.36 | lr 3.0e-04 | 5000 tok/s
iteration      100/     500 | learning rate: 1.5E-04 | lm loss: 6.5E+00 |
"""

from __future__ import annotations

import re
from typing import Any

from harness.adapters.reading import (
    BEFORE_VALIDATION,
    NUMBER,
    PAIR,
    UNITS,
    Reading,
    count,
    field,
    settle,
    take,
)

LONGEST = 4096
"""Characters of a line that are looked at: the work for a line stays small, whatever it holds."""

_IN_EPOCH = re.compile(r"[\]\s:,|-]{1,6}[\[(]?\s{0,8}(\d{1,15})\s{0,8}/\s{0,8}(\d{1,15})", re.ASCII)
_ONLY_FIGURE = re.compile(rf"\]?\)?\s{{0,4}}[:,|-]\s{{0,8}}({NUMBER})\s{{0,8}}", re.ASCII)
_MMENGINE = re.compile(
    r"Epoch\((train|val|test)\) {1,3}(?:\[(\d{1,9})\])?\[ {0,8}(\d{1,15})/ {0,8}(\d{1,15})\]",
    re.ASCII,
)
_SPEED = re.compile(rf"({NUMBER}) ?(?:tok(?:en)?s?/s(?:ec)?)(?![A-Za-z])", re.ASCII)
_NO_LOSS = frozenset({"best", "final", "average", "avg", "mean", "min", "max", "lowest", "initial"})
_LAST_WORD = re.compile(r"[A-Za-z]{1,20}$", re.ASCII)


def read(line: str) -> Reading | None:
    lower = line.lower()
    if not ("loss" in lower or "step" in lower or "iter" in lower or "epoch" in lower):
        return None
    given: dict[str, Any] = {}
    places: dict[str, re.Match[str]] = {}
    for pair in PAIR.finditer(line, 0, LONGEST):
        kind, scale = field(pair[1])
        if not kind:
            kind, scale = _with_word_before(line, pair)
        if kind == "loss":
            kind = _which_loss(line, pair)
        if kind and kind not in places:
            places[kind] = pair
            take(given, kind, pair[2], scale or UNITS.get(pair[4] or "", 0))
    if "Epoch(" in line:
        _mmengine(line, given)
    elif "epoch" in places and "step" not in places:
        _step_in_epoch(line, places["epoch"], given)
    elif "step" in places and places["step"][3]:
        given["total"] = count(places["step"][3])
    if "step" in places and "loss" not in given and "validation" not in given:
        only = _ONLY_FIGURE.fullmatch(line, places["step"].end())
        if only:
            take(given, "loss", only[1])
    if "tok" in lower and "tokens_per_s" not in given:
        speed = _SPEED.search(line)
        if speed:
            take(given, "tokens", speed[1])
    settle(given)
    return Reading(**given) if _says_enough(line, given, places) else None


def _word_before(line: str, at: int) -> str:
    found = _LAST_WORD.search(line[max(0, at - 21) : at].rstrip(" _/"))
    return found[0].lower() if found else ""


def _with_word_before(line: str, pair: re.Match[str]) -> tuple[str, int]:
    """`learning rate: 1e-4`, `peak mem 3.1 GB`."""
    word = _word_before(line, pair.start())
    return field(f"{word}_{pair[1]}") if word else ("", 0)


def _which_loss(line: str, pair: re.Match[str]) -> str:
    word = _word_before(line, pair.start())
    if word in BEFORE_VALIDATION:
        return "validation"
    return "" if word in _NO_LOSS else "loss"


def _step_in_epoch(line: str, epoch: re.Match[str], given: dict[str, Any]) -> None:
    """`Epoch: [0][10/391]`, `Train Epoch: 1 [640/60000 (1%)]`, `epoch 001:  10 / 100`."""
    found = _IN_EPOCH.match(line, epoch.end())
    if found:
        given["step"], given["total"] = count(found[1]), count(found[2])


def _mmengine(line: str, given: dict[str, Any]) -> None:
    """`Epoch(train) [1][50/391]  lr: 1.0000e-01 ... loss: 2.3`."""
    found = _MMENGINE.search(line)
    if found:
        kind, epoch, done, total = found.groups()
        given["total"] = count(total)
        if epoch:
            given["epoch"] = float(epoch)
        if kind == "train":
            given["step"] = count(done)
        else:
            given.update(batch=count(done), phase="validate", validation=True)


def _says_enough(line: str, given: dict[str, Any], places: dict[str, re.Match[str]]) -> bool:
    """Whether this is a report. A step or an epoch alone must not stand in the midst of prose."""
    if "loss" in given:
        return True
    if "step" not in given and "epoch" not in given:
        return False
    if len(given) > 1 + ("total" in given):
        return True
    if not places:
        return True
    before = line[: (places.get("step") or places["epoch"]).start()].rstrip()
    return not before or not (before[-1].islower() or before[-1] == "(")
