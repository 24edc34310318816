"""Tables, whose first line names the columns: drawn with pipes, by rich, with commas, or blanks.

| Step | Training Loss | Validation Loss |        step    loss      lr   grad_norm
|------|---------------|-----------------|          10   2.345   1e-4       1.21
| 500  | 1.234000      | 1.345000        |          20   2.217   1e-4       1.18
step,loss,lr                                            E    #    LOSS NER   ENTS_F
10,2.345,0.0001                                           0  200     142.83     0.45

A row is read by the last heading; what stands for a missing figure is left out.
"""

from __future__ import annotations

import re

from harness.logs.numbers import NUMBER
from harness.logs.reading import FIGURE, Read, Reading, from_pairs, meaning
from harness.text import late

_CELLS = late.compile(r"[|│┃║]")
_WIDE = late.compile(r"\s{2,20}|\t")
_RULE = late.compile(r"[\s|:+=─━═┄┅╌╍┌┐└┘├┤┬┴┼┏┓┗┛┣┫┳┻╋┡┩╇╈╞╡╪╒╕╘╛-]{3,400}")
_SPACY = ("E", "#")
"""The first columns of spaCy's table: epoch and step."""
_NAME = late.compile(r"[A-Za-z][A-Za-z0-9_/. ()-]{0,40}", re.ASCII)
_VALUE = late.compile(rf"({NUMBER})(?: ?[▼▲↓↑%])?", re.ASCII)
_TIME = late.compile(r"\d{1,3}(?::\d\d){1,2}(?:\.\d{1,6})?", re.ASCII)
_WORD = late.compile(r"[A-Za-z][\w.-]{0,40}", re.ASCII)
"""`PPO_CartPole`, `RUNNING`: names and states have columns of their own."""
_NUMBERS = frozenset(("step", "epoch", "loss", "validation", "rate"))
_MISSING = frozenset(("", "-", "–", "—", "n/a", "na", "none", "no log"))
_LONGEST = 1000
_MOST = 32


class Table:
    """The table that one stream is in."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._kind = ""

    def read(self, line: str) -> Reading | None:
        """The reading of a row; a heading is remembered."""
        if "%|" in line or len(line) > _LONGEST:
            return None
        kind = _kind(line)
        if not kind:
            return None
        if kind == self._kind and (reading := self._row(line)) is not None:
            return reading
        lower = line.lower()
        if "step" in lower or "iter" in lower or "epoch" in lower or "#" in lower:
            self._heading(line, kind)
        return None

    def _row(self, line: str) -> Reading | None:
        cells = _cells(line, self._kind, rows=True)
        if len(cells) != len(self._names) and "\t" in line:
            cells = line.split()
        if len(cells) != len(self._names):
            return None
        pairs = []
        for name, cell in zip(self._names, cells, strict=True):
            match = _VALUE.fullmatch(cell)
            if match is not None:
                pairs.append((name, match[1]))
            elif cell.lower() in _MISSING:
                continue
            elif (kind := meaning(name)[0]) in _NUMBERS:
                return None
            elif kind == "phase":
                pairs.append((name, cell))
            elif not (_TIME.fullmatch(cell) or _WORD.fullmatch(cell)):
                return None
        given = from_pairs(pairs)
        counted = "step" in given or "epoch" in given
        return Reading(**given) if counted and len(given) > 1 else None

    def _heading(self, line: str, kind: str) -> None:
        cells = _cells(line, kind, rows=False)
        if (*cells[:2],) == _SPACY:
            cells[:2] = "epoch", "step"
        if not 2 <= len(cells) <= _MOST or not all(map(_NAME.fullmatch, cells)):
            return
        kinds = [meaning(name)[0] for name in cells]
        if kinds.count("step") + kinds.count("epoch") and any(
            kind in ("loss", "validation", FIGURE) for kind in kinds
        ):
            self._names, self._kind = tuple(cells), kind


def begin() -> Read:
    """Make the `read` of one stream."""
    return Table().read


def _kind(line: str) -> str:
    """The sign that parts the columns; empty for a line of no table."""
    if "|" in line or "│" in line or "┃" in line:
        return "|"
    if "  " in line or "\t" in line:
        return " "
    return "," if "," in line and ":" not in line and "=" not in line else ""


def _cells(line: str, kind: str, rows: bool) -> list[str]:
    if _RULE.fullmatch(line):
        return []
    if kind == ",":
        return [cell.strip() for cell in line.split(",")]
    if kind == " ":
        if not rows:
            return _WIDE.split(line.strip())
        return [*map(str.strip, line.lstrip().split("\t"))] if "\t" in line else line.split()
    cells = [cell.strip(" \t*`") for cell in _CELLS.split(line)]
    # The frame's own lines give an empty cell at each end.
    return cells[1 if not cells[0] else 0 : -1 if not cells[-1] else None]
