"""What people print themselves, and many trainers: names with figures.

step 12 loss=1.23                       epoch 1, iter 20: 0.123
Epoch [1/10], Step [100/600], Loss: 0.5        iter 100: loss 2.5, time 12.1ms, mfu 3.1%
step    1/74 | train loss 4.36 | lr 3.0e-04 | 5000 tok/s
iteration      100/     500 | learning rate: 1.5E-04 | lm loss: 6.5E+00 |
"""

from __future__ import annotations

import re
from typing import Any

from harness.adapters.reading import NUMBER, PAIR, UNITS, Reading, count, field, settle, take

LONGEST = 4096
"""Characters of a line that are looked at: the work for a line stays small, whatever it holds."""

_IN_EPOCH = re.compile(
    r"[Ee](?:POCH|poch)[: =\t]{0,4}\[?\d{1,9}(?:/\d{1,9})?[\] \t:,|-]{1,6}[\[(]? {0,8}"
    r"(\d{1,15}) {0,8}/ {0,8}(\d{1,15})",
    re.ASCII,
)
_MMENGINE = re.compile(
    r"Epoch\((train|val|test)\) {1,3}(?:\[(\d{1,9})\])?\[ {0,8}(\d{1,15})/ {0,8}(\d{1,15})\]",
    re.ASCII,
)
_ONLY_FIGURE = re.compile(rf"\d[\])]{{0,2}} {{0,4}}[:,|-] {{1,8}}({NUMBER}) {{0,8}}$", re.ASCII)
_TOKENS = re.compile(r"tok(?:en)?s?/s(?:ec)?(?![a-z])", re.ASCII)
_FIGURE = re.compile(NUMBER, re.ASCII)


def read(line: str) -> Reading | None:
    lower = line.lower()
    if not ("loss" in lower or "step" in lower or "iter" in lower or "epoch" in lower):
        return None
    if len(line) > LONGEST:
        line, lower = line[:LONGEST], lower[:LONGEST]
    given: dict[str, Any] = {}
    counted = ""  # the name of what was counted
    for name, figure, total, unit in PAIR.findall(line):
        kind, scale = field(name)
        if not kind:
            continue
        if kind == "step" and not counted:
            counted = name
            if total:
                given["total"] = count(total)
        if unit:
            scale = scale or UNITS[unit]
        take(given, kind, figure, scale)
    if "epoch" in given and "step" not in given:
        _step_in_epoch(line, given)
    if "step" in given and "loss" not in given and "validation" not in given:
        only = _ONLY_FIGURE.search(line)
        if only and not only[1].isdigit():
            take(given, "loss", only[1])
    if "tokens_per_s" not in given and "tok" in lower:
        _speed(line, lower, given)
    if "validation" in given or "phase" in given:
        settle(given)
    if "Epoch(" in line:
        _mmengine(line, given)
    if "loss" in given:
        if lower[:6].lstrip(" [").startswith(("val", "eval", "test")):
            given["validation"] = True  # `Test set: Average loss: 0.05`
        return Reading(**given)
    return Reading(**given) if _says_enough(line, given, counted) else None


def _step_in_epoch(line: str, given: dict[str, Any]) -> None:
    """`Epoch: [0][10/391]`, `Train Epoch: 1 [640/60000 (1%)]`, `epoch 001:  10 / 100`."""
    found = _IN_EPOCH.search(line)
    if found:
        given["step"], given["total"] = count(found[1]), count(found[2])


def _speed(line: str, lower: str, given: dict[str, Any]) -> None:
    """`5000 tok/s`."""
    unit = _TOKENS.search(lower)
    before = line[max(0, unit.start() - 30) : unit.start()].split() if unit else []
    if before and _FIGURE.fullmatch(before[-1]):
        take(given, "tokens", before[-1])


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


def _says_enough(line: str, given: dict[str, Any], counted: str) -> bool:
    """Whether a line without a loss is a report. A step alone must not stand amid prose."""
    if ("step" not in given and "epoch" not in given) or counted.lower().endswith("batch"):
        return False  # `batch=32` may be a size
    if len(given) > 1 + ("total" in given):
        return True
    if "step" not in given:
        return line.lstrip().lower().startswith("epoch")
    before = counted.rpartition(" ")[0]
    return not before.islower() and f"({counted}" not in line
