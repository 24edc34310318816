"""Steps that a line gives without naming them: where they stand tells what they are.

Epoch: [0][10/391] loss 2.3        [ 12/100] loss 1.2        12: loss 1.5
train 10/100 loss 2.3              55% 55/100 loss 2.3       Episode 10 reward: 21.5
"""

from __future__ import annotations

import re
from typing import Any

from harness.logs.numbers import MAX_COUNT, count
from harness.text import late

_IN_EPOCH = late.compile(
    r"[Ee](?:POCH|poch)[: =\t]{0,4}\[?\d{1,9}(?:/\d{1,9})?[\] \t:,|-]{1,6}"
    r"(?:[\[(]? {0,8}(\d{1,15}) {0,8}/ {0,8}(\d{1,15})|\[ {0,8}(\d{1,15})\])",
    re.ASCII,
)
_BRACKETS = late.compile(
    r"(?:\bTrain(?:ing)?: {1,3}(\d{1,9}) {1,3}|)"
    r"(?:\[ {0,12}(\d{1,9}) {0,12}/ {0,12}\d{1,9} {0,4}\] {0,4})?"
    r"\[ {0,12}(\d[\d,]{0,18}) {0,12}/ {0,12}(\d[\d,]{0,18})"
    r" {0,4}(?:\( {0,4}\d{1,3} ?%\) {0,4}|)\]",
    re.ASCII,
)
_LEADS = late.compile(r"\s{0,20}(?:(\d{1,15}):|#(\d{1,15})[:,|]?)\s", re.ASCII)
_NUMBERED = late.compile(r"(?:^\s{0,8}|[\])] )\[ {0,8}(\d{1,15})\]\s{1,8}(?=[A-Za-z])", re.ASCII)
_BEGINS = late.compile(
    r"\s{0,12}(?:\[?\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,6})?\]? {1,3})?"
    r"(\d{1,12})/(\d{1,12})(?: {1,3}| ?[|,:] {0,3})"
    r"(?=(?:train |training |avg |mean )?[A-Za-z_/]{1,30}[=: ]{1,3}[-+\dni.])",
    re.ASCII,
)
"""`[00:12:34] 10/100 loss=2.3`: a figure follows at once, where a date has a word."""
_ROUNDS = ("episode", "update", "round", "generation")
"""Names that count where nothing else does."""
_EARLY = 60
"""Characters within which they stand: later ones tell of something else."""
_MEASURED = late.compile(r"loss|rew|return|score|acc")
_GAP = r"[\s:=(|#━╸╺█▏▎▍▌▋▊▉░>-]"
_HELD = late.compile(
    r"(?<![A-Za-z])(?:[cg]pu(?!\d)|v?ram|hbm|mem(?:ory)?|disk|swap|cache|buffer|queue|storage|space"
    rf"|battery|usage|used|util(?:i[sz]ation)?|load|quota)\d{{0,3}}{_GAP}{{1,60}}[\d.]{{0,12}}$",
    re.IGNORECASE | re.ASCII,
)
"""`mem [45/100]`, `disk 45% (45 of 100)`: a part of what the machine has is no step."""
_NAMED = late.compile(r"(?<![\w.])([A-Za-z_][\w.@-]{0,40})[\s:=(|-]{1,6}[\d.]{0,12}$", re.ASCII)
_PROGRESS = late.compile(
    r"(?:pre|fine-?)?(?:train|tun|fit|learn|optimi[sz])|epoch|iter|step|batch|progress|done|work"
    r"|complete|total|overall|info$|debug$|root$|main$",
    re.IGNORECASE,
)
"""Words before a share that is one of the steps: `acc: 98% 9825/10000` is none."""
_OF_TRAINING = late.compile(
    r"\s{0,8}\[?train(?:ing)?[\]:]? {1,4}(\d{1,12}) {0,2}/ {0,2}(\d{1,12})(?![\d.])", re.IGNORECASE
)
_BAR = late.compile(
    r"\d ?% {1,4}(\d{1,12})/(\d{1,12})(?= |$)|(?<= )(\d{1,12})/(\d{1,12}) \[ ?\d{1,3} ?%\]"
    r"|\d ?% \((\d{1,12}) of (\d{1,12})\)",
    re.ASCII,
)
"""The counts of a bar of rich, alive-progress or progressbar2."""


def unnamed_step(line: str, given: dict[str, Any], figures: dict[str, float]) -> None:
    """Put the step and its total into `given`, which has none.

    A figure of `figures` that was it is taken out.
    """
    if "epoch" in given:
        _step_in_epoch(line, given)
    elif name := _round(line, given, figures):
        given["step"] = int(figures.pop(name))
    elif "loss" not in given and not any("loss" in name for name in figures):
        return  # as `Loss_D: 0.5 Loss_G: 3.2` of two that are trained together
    elif (match := _BRACKETS.search(line) if "[" in line else None) and not _HELD.search(
        line, 0, match.start()
    ):
        named, epoch, step, total = match.groups()
        given["step"], given["total"] = count(step), count(total)
        if named:
            figures.pop("train", None)
            epoch = named
        if epoch:
            given["epoch"] = float(epoch)
    elif (match := _BEGINS.match(line) if "/" in line else None) and int(match[1]) <= int(match[2]):
        given["step"], given["total"] = int(match[1]), int(match[2])
    elif match := _LEADS.match(line) or _NUMBERED.search(line):
        given["step"] = count(match[match.lastindex or 1])
    elif match := _OF_TRAINING.match(line) if "train" in figures or "training" in figures else None:
        figures.pop("train", figures.pop("training", None))
        given["step"], given["total"] = int(match[1]), int(match[2])
    elif (match := _BAR.search(line) if "%" in line else None) and _is_progress(
        line, match.start()
    ):
        done, total = filter(None, match.groups())
        given["step"], given["total"], given["drawn"] = int(done), int(total), True


def _is_progress(line: str, at: int) -> bool:
    """Return True unless a word before the share that begins at `at` names something else."""
    named = _NAMED.search(line, 0, at)
    return (named is None or _PROGRESS.match(named[1]) is not None) and not _HELD.search(
        line, 0, at
    )


def _round(line: str, given: dict[str, Any], figures: dict[str, float]) -> str | None:
    """The name of the figure that counts rounds; None where there is none, or none is measured."""
    for name in _ROUNDS:
        at = figures.get(name, -1)
        if 0 <= at < MAX_COUNT and at == int(at) and name in line[:_EARLY].lower():
            measured = "loss" in given or any(map(_MEASURED.search, figures))
            return name if measured else None
    return None


def _step_in_epoch(line: str, given: dict[str, Any]) -> None:
    """`Epoch: [0][10/391]`, `Train Epoch: 1 [640/60000 (1%)]`, `epoch 001:  10 / 100`."""
    match = _IN_EPOCH.search(line)
    if match:
        given["step"] = count(match[1] or match[3])
        if match[2]:
            given["total"] = count(match[2])
