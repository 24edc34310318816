"""A count of a total and one figure, with no word: `  10000/ 200000: 2.1723`, as makemore prints.

A single such line may be anything. Several of one total that count on are the steps of a training.
What the figure is, nobody says: it may be a loss or an accuracy, so it is kept as `figure`.
"""

from __future__ import annotations

from harness.logs.numbers import NUMBER, number
from harness.logs.reading import Read, Reading
from harness.text import late

_LINE = late.compile(
    rf"\s{{0,20}}(\d{{1,15}})/(\s{{0,20}})(\d{{1,15}}):\s{{1,8}}({NUMBER})\s{{0,8}}"
)
_LONGEST = 80
ENOUGH = 3
"""Lines in a row that count on, from which on they are steps; one less if the total is padded."""


class Bare:
    """The lines of one stream."""

    def __init__(self) -> None:
        self._total = self._last = -1
        self._lines = 0

    def read(self, line: str) -> Reading | None:
        if "/" not in line or len(line) > _LONGEST or (match := _LINE.fullmatch(line)) is None:
            return None
        step, padding, total, figure = match.groups()
        if figure.isdigit() or int(step) > int(total):
            return None
        on = int(total) == self._total and int(step) > self._last
        self._lines = self._lines + 1 if on else 1
        self._total, self._last = int(total), int(step)
        if self._lines < ENOUGH - bool(padding):
            return None
        value = number(figure)
        assert value is not None
        return Reading(step=self._last, total=self._total, figures={"figure": value})


def begin() -> Read:
    """Make the `read` of one stream."""
    return Bare().read
