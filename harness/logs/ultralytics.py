"""Ultralytics' and YOLOv5's tables: each row is the description of a bar, the last one a class.

Epoch    GPU_mem   box_loss   cls_loss  Instances       Size
  1/3      2.35G      1.203      2.871        142        640: 100%|████| 8/8 [00:03<00:00, 2.4it/s]
           Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|█| 4/4 [..
             all        128        929      0.673      0.531      0.612      0.452
"""

from __future__ import annotations

from harness.logs.numbers import FIGURE_TEXT, number
from harness.logs.reading import Read, Reading, from_pairs
from harness.text import late

_HEADING = late.compile(r"\s{0,20}Epoch\s{1,20}(?:GPU|gpu)_mem\s{1,20}\S.{0,300}\S\s{0,20}")
_ROW = late.compile(
    r"\s{0,20}(?P<epoch>\d{1,9})/\d{1,9}\s{1,20}(?P<cells>\S.{1,300}?):"
    r"\s{1,4}\d{1,3}%[ |]?(?:[^|\d]{0,100}[| ])?\s{0,9}(?P<done>\d{1,12})/(?P<total>\d{1,12})[ \[]"
)
_MEMORY = late.compile(r"(\d{1,6}(?:\.\d{1,6})?)G")
_CLASSES = late.compile(
    r"\s{0,30}Class\s{1,20}Images\s{1,20}(?P<names>\S.{1,200}?)"
    r":\s{1,4}\d{1,3}%[ |]?(?:[^|\d]{0,100}[| ])?\s{0,9}"
    r"(?P<done>\d{1,12})/(?P<total>\d{1,12})[ \[].{0,100}"
)
_LOSSES = frozenset(("box", "cls", "dfl", "obj", "seg", "total"))
"""Names of YOLOv5's losses, which say no more."""
_COUNTED = frozenset(("Instances", "Labels"))
_LONGEST = 1000


class Detection:
    """The table that one stream is in."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._scores: list[str] = []

    def read(self, line: str) -> Reading | None:
        """The reading of a row, or of a row of scores; a heading is remembered."""
        if "Epoch" in line and len(line) <= _LONGEST and _HEADING.fullmatch(line):
            self._names = [f"{name}_loss" if name in _LOSSES else name for name in line.split()[1:]]
            return None
        if not self._names or len(line) > _LONGEST:
            return None
        if "%" in line:
            return self._row(line) or self._validation(line)
        return self._of_all(line) if "all" in line else None

    def _row(self, line: str) -> Reading | None:
        match = _ROW.match(line)
        cells = match["cells"].split() if match else []
        if match is None or len(cells) != len(self._names):
            return None
        pairs = []
        for name, cell in zip(self._names, cells, strict=True):
            if memory := _MEMORY.fullmatch(cell):
                pairs.append((f"{name}_GiB", memory[1]))
            elif FIGURE_TEXT.fullmatch(cell):
                pairs.append((name, cell))
            else:
                return None
        given = from_pairs(pairs)
        given.update(step=int(match["done"]), total=int(match["total"]), drawn=True)
        given["epoch"] = float(match["epoch"])
        return Reading(**given)

    def _validation(self, line: str) -> Reading | None:
        match = _CLASSES.fullmatch(line)
        if match is None:
            return None
        self._scores = [name.strip("()").replace("(", "_") for name in match["names"].split()]
        done, total = int(match["done"]), int(match["total"])
        return Reading(batch=done, total=total, phase="validate", validation=True)

    def _of_all(self, line: str) -> Reading | None:
        """The scores over all classes. Those of each class are left out."""
        first, *cells = line.split()
        if first != "all" or len(cells) != len(self._scores) + 1:
            return None
        values = [number(cell) if FIGURE_TEXT.fullmatch(cell) else None for cell in cells[1:]]
        pairs = zip(self._scores, values, strict=True)
        given = from_pairs(pair for pair in pairs if pair[0] not in _COUNTED)
        return Reading(**given) if given else None


def begin() -> Read:
    """Make the `read` of one stream."""
    return Detection().read
