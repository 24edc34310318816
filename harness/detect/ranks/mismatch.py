"""A difference between what the ranks of a job have issued."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.detect.ranks.columns import Signature
from harness.detect.ranks.phrases import value

MANY = 16
"""Collectives of a step that the evidence lists at most."""


@dataclass(frozen=True)
class Mismatch:
    """The first place where ranks issued different collectives."""

    step: int | None
    """None where nothing tells the step of a collective."""
    n: int
    """The first collective that differs, counted from 0."""
    kind: str
    """`missing`, `extra`, `order`, `op`, `shape` or `dtype`."""
    odd: tuple[int, ...]
    """The ranks in the minority; where there is none, all that differ."""
    usual: tuple[Signature, ...]
    """The collectives that the others issued in that step, or from that one on."""
    found: tuple[Signature, ...]
    """The collectives that the first of the odd ones issued."""
    told: str

    def evidence(self) -> dict[str, Any]:
        """The evidence of the finding: lists are cut after `MANY`."""
        return {
            "kind": self.kind,
            "n": self.n,
            "differs_in_step": self.step,
            "usual": [f"{one.op} {value(one)}" for one in self.usual[:MANY]],
            "found": [f"{one.op} {value(one)}" for one in self.found[:MANY]],
            "usual_count": len(self.usual),
            "found_count": len(self.found),
        }
