"""Signs of a symptom in what a program prints and how it ends, known without a verdict. Pure.

A hang shows by where threads stand (`glance`). A crash shows by its last words, and a divergence
by the numbers of its log.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from harness.death import tracebacks
from harness.logs import Recognizer
from harness.model import Outcome
from harness.reduce.symptom import Keep, Symptom, function, words

ENOUGH = 3
"""Reports with the same wrong number: one more changes nothing."""


class Ending(NamedTuple):
    """The end of a run."""

    signal: int | None
    failed: bool
    kind: str = ""
    """The type of the exception, and below where it was raised and what it says."""
    function: str = ""
    words: str = ""

    def as_kept(self, keep: Keep) -> Ending:
        """The part of it that `keep` compares."""
        if keep is Keep.OUTCOME:
            return Ending(None, self.failed)
        if keep is Keep.CAUSE:
            return Ending(self.signal, self.failed, self.kind)
        return self


def ending(status: int, printed: str) -> Ending:
    """The end of a run by its wait status and its standard error."""
    raised = [one for one in tracebacks.find(printed.splitlines()) if not (one.who or one.goes_on)]
    signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if not raised:
        return Ending(signal, status != 0)
    last = raised[-1]
    return Ending(signal, status != 0, last.type, function(last.place), words(last.text))


def numbers(output: bytes, wanted: Symptom) -> int:
    """The reports of a loss that is as wrong as the symptom says, in standard output."""
    if not _MAY_BE.search(output):
        return 0
    recognizer = Recognizer()
    readings = [*recognizer.feed(output), *recognizer.close()]
    kinds = {part.removeprefix(NUMBER) for part in wanted.parts if part.startswith(NUMBER)}
    losses = [one.loss for one in readings if one.loss is not None]
    return sum(kind(loss) in (kinds or WRONG) for loss in losses)


NUMBER = "number "
_MAY_BE = re.compile(rb"nan|inf", re.I)
WRONG = {"nan", "inf"}


def kind(loss: float) -> str | None:
    """`nan`, `inf`, or None of a number that is right."""
    if loss != loss:
        return "nan"
    return "inf" if abs(loss) == float("inf") else None


def seen_without_verdict(wanted: Symptom) -> bool:
    """True where the end or the output of a program shows the symptom."""
    return wanted.keep is not Keep.FINDING and wanted.parts[0] in (
        Outcome.CRASHED.value,
        Outcome.DIVERGED.value,
    )
