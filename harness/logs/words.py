"""The words of a training that ends before its total, or that does not begin at 0."""

from __future__ import annotations

import re
from collections import deque

from harness.text import late

_MOST = 40
_LONGEST = 400
_STOPS = late.compile(
    r"early.?stop|stopp(?:ed|ing)|converg|resum|patience|plateau|no (?:further )?improvement"
    r"|(?:target|goal|threshold)\b.{0,40}\breached|reached\b.{0,40}\b(?:target|goal|threshold)"
    r"|(?:time|wall.?clock|token|step|budget).{0,12}limit|max(?:imum)?[ _]?(?:time|duration|hours)"
    r"|interrupt|abort|terminat|dry.?run|budget|out of time|cut short|end(?:ed|ing)? early",
    re.IGNORECASE,
)


class LastWords:
    """The last lines of one output that are no steps, and those that speak of resuming."""

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=_MOST)
        self.last = ""
        """The last report."""
        self.step: int | None = None
        """The step of the last report before them."""
        self._resumed = False

    def unread(self, line: str) -> None:
        """Take a line that says nothing of the training's progress."""
        self.tail.append(line[:_LONGEST])
        # Said at the start, and the whole output may be long: looked for as it passes.
        if "esum" in line and _STOPS.search(line[:_LONGEST]):
            self._resumed = True

    def read(self, step: int | None) -> None:
        """Take a report; one of a further step makes what was said before it no last word."""
        if step is not None and step != self.step:
            self.step = step
            self.tail.clear()

    @property
    def explain_the_end(self) -> bool:
        """True if they speak of stopping, converging or resuming."""
        return self._resumed or any(map(_STOPS.search, (*self.tail, self.last[:_LONGEST])))
