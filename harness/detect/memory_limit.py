"""The rules of a memory limit: when it is said, when a grace begins, when a run is to end. Pure.

The bands, two looks in a row and the two exits (in order, and at once) are those of the policy that
mlx-guard documents: https://github.com/IonDen/mlx-guard/blob/main/docs/POLICY.md. Two rules differ,
so that no healthy run is harmed. A look that could not measure ends nothing, and a checkpoint that
was asked for has as long as `memory_grace_s`.
"""

from __future__ import annotations

from enum import Enum

from harness.detect.policy import STANDARD


class Act(Enum):
    """The next thing to do about the memory of a run."""

    SAY = "say"
    """The limit is near."""
    END = "end"
    END_NOW = "end now"
    """There is no time for more evidence."""


class Rules:
    """Judges one look after the other."""

    def __init__(self) -> None:
        self.near = False
        """True from the time at which it was said until the memory is calm again."""
        self.reached = False
        """True once the limit was reached in looks that agree."""
        self._asked: float | None = None
        self._in_a_row = {STANDARD.memory_near: 0, 1.0: 0, STANDARD.memory_urgent: 0}

    def asked(self, now: float) -> None:
        """A checkpoint was asked for at the monotonic time `now`."""
        self._asked = now

    def look(self, now: float, share: float | None) -> Act | None:
        """Judge a share of the limit at the monotonic time `now`; None could not be measured."""
        for band, looks in self._in_a_row.items():
            self._in_a_row[band] = looks + 1 if share is not None and share >= band else 0
        if not self.near and self._agree(STANDARD.memory_near):
            self.near = True
            self.reached |= self._agree(1.0)
            return Act.SAY
        if self.near and share is not None and share <= STANDARD.memory_calm:
            self.near, self._asked = False, None
        if not self._agree(1.0):
            return None
        self.reached = True
        if self._agree(STANDARD.memory_urgent):
            return Act.END_NOW
        waits = self._asked is not None and now - self._asked < STANDARD.memory_grace_s
        return None if waits else Act.END

    def _agree(self, band: float) -> bool:
        return self._in_a_row[band] >= STANDARD.memory_looks
